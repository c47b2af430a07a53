"""The newest jobs whose last attempts failed: the commonest error of a type, and whose jobs fail.

Of each status the newest SAMPLE jobs are read, however many there are. So a number is the least there is.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from django_jobs.engine.insight.inspection import jobs
from django_jobs.statuses import WITH_ERRORS

SAMPLE: Final = 1_000
#: How many organizations of one alarm are kept, those with the most jobs first.
MAX_ORGANIZATIONS: Final = 1_000
_READ: Final = ("pk", "job_type_id", "error_fingerprint", "organization_id", "started_at")


class FailingJob(NamedTuple):
    """A job whose last attempt failed. ``started_at`` is when that attempt began."""

    pk: int
    job_type: str
    fingerprint: str
    organization: Any
    started_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class FailingJobs:
    """The jobs that were read, by type. ``is_cut`` says that there are more."""

    by_type: dict[str, list[FailingJob]]
    is_cut: bool

    def of_types(self, job_types: Iterable[str], since: dt.datetime) -> list[FailingJob]:
        """Return those of these types whose last attempts began at this moment or later."""
        found = (row for name in job_types for row in self.by_type.get(name, ()))
        return [row for row in found if row.started_at and row.started_at >= since]


def read_failing_jobs() -> FailingJobs:
    """Return the newest jobs of each status that a failed attempt leads to, in one statement for each."""
    by_type: dict[str, list[FailingJob]] = defaultdict(list)
    is_cut = False
    for status in sorted(WITH_ERRORS):
        rows = list(_newest_in(status))
        is_cut = is_cut or len(rows) == SAMPLE
        for row in rows:
            by_type[row.job_type].append(row)
    return FailingJobs(dict(by_type), is_cut)


def _newest_in(status: str) -> Iterator[FailingJob]:
    rows = jobs().filter(status=status).order_by("-pk").values_list(*_READ)
    return (FailingJob(*row) for row in rows[:SAMPLE])


def commonest_fingerprint(rows: list[FailingJob]) -> str | None:
    """Return the fingerprint that most of these jobs have; None where there is none."""
    found = Counter(row.fingerprint for row in rows).most_common(1)
    return found[0][0] if found else None


def newest_with(rows: list[FailingJob], fingerprint: str) -> FailingJob:
    """Return the newest of these jobs that has the fingerprint; there must be one."""
    return max((row for row in rows if row.fingerprint == fingerprint), key=lambda row: row.pk)


def counts_by_organization(organizations: Iterable[Any]) -> dict[str, int]:
    """Return how often each organization's key comes, as facts have it: by the key's text, the most frequent first.

    A Counter of keys is taken as it is.
    """
    return {str(pk): count for pk, count in Counter(organizations).most_common(MAX_ORGANIZATIONS)}
