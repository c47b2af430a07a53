"""Finds jobs that belong together: those of one kind and owner that were submitted one after the other."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from django.db.models import Count, Min, Q, QuerySet

from django_jobs.models import Job

#: Cards on a page.
CARDS: Final = 20
#: So many jobs of a run take one card instead of one each.
FOLDED: Final = 4
#: So far apart may two jobs of a run have been submitted.
PAUSE: Final = dt.timedelta(minutes=1)
#: Rows that a page reads one by one. Of a run that is longer the rest is counted by the database.
READ: Final = 1_000
#: So far back does the database look for that rest, in keys.
FAR: Final = 50_000
#: The greatest key that a database knows.
LAST_KEY: Final = 2**63 - 1


class Row(NamedTuple):
    """As much of a job as it takes to find its run. A page may read many of them."""

    pk: int
    job_type_id: str
    owner_name: str
    status: str
    created_at: dt.datetime


@dataclass
class Run:
    """Like jobs, newest first. ``rest`` counts by status those that are older than the rows which were read."""

    rows: list[Row]
    rest: Counter[str] = field(default_factory=Counter)
    oldest: int = 0

    @property
    def is_folded(self) -> bool:
        return len(self.rows) >= FOLDED

    @property
    def cards(self) -> int:
        return 1 if self.is_folded else len(self.rows)

    def takes(self, row: Row) -> bool:
        """Return whether the row, the next one of its kind, belongs to the run."""
        return abs(self.rows[-1].created_at - row.created_at) <= PAUSE

    def add(self, row: Row) -> None:
        self.rows.append(row)
        self.oldest = row.pk


def read_runs(jobs: QuerySet[Job]) -> tuple[list[Run], int | None]:
    """Return the newest runs, as many as a page shows, and the key before which older jobs are found.

    That key is None where there are no older jobs.
    """
    rows = read_rows(jobs.order_by("-pk"))
    runs, last, following = gather(rows)
    if following is not None:
        return runs, last.oldest
    if len(rows) < READ:
        return runs, None
    if last.is_folded:
        count_rest(last, jobs)
    return runs, last.oldest


def read_rows(jobs: QuerySet[Job]) -> list[Row]:
    return [Row(*values) for values in jobs.values_list(*Row._fields)[:READ]]


def gather(rows: Iterable[Row]) -> tuple[list[Run], Run, Row | None]:
    """Return the runs of the first rows, that of the last of these rows, and the row for which a page has no room."""
    runs: list[Run] = []
    latest: dict[tuple[str, str], Run] = {}
    last = Run([])
    for row in rows:
        kind = (row.job_type_id, row.owner_name)
        if kind not in latest or not latest[kind].takes(row):
            if sum(run.cards for run in runs) >= CARDS:
                return runs, last, row
            latest[kind] = Run([])
            runs.append(latest[kind])
        last = latest[kind]
        last.add(row)
    return runs, last, None


def read_newer(jobs: QuerySet[Job], before: int) -> int | None:
    """Return the key before which the next newer page shows jobs; None if that is the newest page.

    The page has about as many cards as others: the runs are counted from ``before`` on, here from the oldest.
    """
    newer = jobs.filter(pk__gte=before)
    rows = read_rows(newer.order_by("pk"))
    _runs, last, following = gather(rows)
    if following is not None:
        return following.pk
    return after_run(last.rows[-1], newer) if len(rows) == READ else None


def after_run(row: Row, newer: QuerySet[Job]) -> int | None:
    """Return the key of the first job that follows a run which has this row and is too long to be read."""
    like = Q(job_type=row.job_type_id, owner_name=row.owner_name)
    end = row.pk + FAR
    others = newer.filter(pk__gt=row.pk, pk__lte=end).exclude(like).order_by("pk")
    other = others.values_list("pk", flat=True).first()
    return other if other or not newer.filter(pk__gt=end).exists() else end + 1


def count_rest(run: Run, jobs: QuerySet[Job]) -> None:
    """Add what comes before the run's oldest row: like jobs without others in between, back to a pause before it."""
    row = run.rows[-1]
    like = Q(job_type=row.job_type_id, owner_name=row.owner_name)
    older = jobs.filter(pk__lt=row.pk, pk__gte=row.pk - FAR)
    other = older.exclude(like).order_by("-pk").values_list("pk", flat=True).first()
    rest = older.filter(like, pk__gt=other or 0, created_at__gte=row.created_at - PAUSE).order_by()
    for status, count, oldest in rest.values_list("status").annotate(Count("pk"), Min("pk")):
        run.rest[status] = count
        run.oldest = min(run.oldest, oldest)


def between(jobs: QuerySet[Job], oldest: int, newest: int) -> QuerySet[Job]:
    """Return the jobs with these keys and those in between: the newest as many as a run can have.

    The keys come from an address, in which anybody may write what they like.
    """
    if not oldest <= newest <= LAST_KEY:
        return jobs.none()
    found = jobs.filter(pk__gte=oldest, pk__lte=newest)
    last = READ + FAR
    first = next(iter(found.order_by("-pk").values_list("pk", flat=True)[last - 1 : last]), oldest)
    return found.filter(pk__gte=first)
