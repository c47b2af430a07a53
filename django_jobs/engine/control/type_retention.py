"""Deleting the old jobs of a type that keeps its own for longer or shorter than the others.

The order of the primary key would lead past the jobs of all other types, and these may be millions that are young. So
the jobs of such a type are walked by an index, organization by organization, in each from the oldest one up to the
first that is young. A look at one organization tells when something there grows old next: until then nobody looks
there again. What is not found in this way (organizations that are new, jobs that ended late or were needed) is found by
whole passes, over all organizations and from their oldest jobs on, which take one second in so many.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from django.db.models import QuerySet

from django_jobs.engine.control import retention
from django_jobs.engine.control.deletion import delete_rows
from django_jobs.engine.control.retention import PAUSE, SECONDS_PER_SECOND, RefusedJobs, Row, is_before
from django_jobs.engine.store import database
from django_jobs.engine.store.chosen import store
from django_jobs.models import Job
from django_jobs.statuses import TERMINAL

#: Organizations of one type about which something is remembered. Beyond them, whole passes find what is old.
MAX_MARKS: Final = 100_000


class _Mark(NamedTuple):
    """Up to which job none of an organization was young, and since when its oldest young one is there."""

    after: int
    young_since: dt.datetime


class TypePruner:
    """Deletes the old jobs of one type in passes. With ``is_thorough``, all are whole, and look behind young ones."""

    def __init__(self, job_type: str, days: int, *, is_thorough: bool = False) -> None:
        self.job_type = job_type
        #: The type's ``retention_days``; whoever sees other ones in its row sets them here.
        self.days = days
        #: Whether the last batch came to the end of a pass; the next one begins a new pass then.
        self.is_through = False
        #: By how many seconds what was deleted last in this pass was older than it had to be.
        self.behind = 0.0
        self._is_thorough = is_thorough
        self._marks: dict[Any, _Mark] = {}
        self._pass: Iterator[int] | None = None
        self._whole_at = 0.0
        self._refused = RefusedJobs()

    def prune(self, seconds: float) -> int:
        """Delete old jobs until the end of the pass, for so many seconds; return how many."""
        until = time.monotonic() + seconds
        total, self.is_through = 0, False
        while not self.is_through:
            total += self._step()
            if time.monotonic() >= until:
                break
        return total

    def _step(self) -> int:
        self._pass = self._pass or self._begin()
        try:
            return next(self._pass)
        except StopIteration:
            self._pass, self.is_through, self.behind = None, True, 0.0
            self._refused.end_pass()
            return 0
        except Exception:
            self._pass = None  # a generator does not go on after an error
            raise

    def _begin(self) -> Iterator[int]:
        """Return the looks of a pass, each of which tells how many jobs it deleted."""
        return self._whole() if self._is_thorough or time.monotonic() >= self._whole_at else self._partial()

    def _whole(self) -> Iterator[int]:
        """Look at all organizations. The pauses between such passes grow with what the looks took."""
        looked, began = 0.0, time.monotonic()
        for organization_pk in self._organizations():
            for count in self._look_at(organization_pk, after=0):
                looked += 0.0 if count else time.monotonic() - began
                yield count
                began = time.monotonic()
        self._whole_at = time.monotonic() + max(0.0, SECONDS_PER_SECOND * looked - PAUSE)

    def _partial(self) -> Iterator[int]:
        """Look at the organizations where something has grown old since the last look."""
        cutoff = self._cutoff(database.now())
        for organization_pk in [key for key, mark in self._marks.items() if mark.young_since < cutoff]:
            yield from self._look_at(organization_pk, after=self._marks[organization_pk].after)

    def _organizations(self) -> Iterator[Any]:
        found = self._first_organization(None)
        while found:
            yield found[0]
            found = self._first_organization(found[0])

    def _first_organization(self, behind: Any) -> list[Any]:
        with store().following_keys():
            return list(store().of_type(self.job_type, behind).values_list("organization_id", flat=True)[:1])

    def _look_at(self, organization_pk: Any, after: int) -> Iterator[int]:
        """Delete an organization's old jobs, set by set, up to the first young one."""
        is_last = False
        while not is_last:
            now = database.now()
            cutoff = self._cutoff(now)
            with store().following_keys():
                rows = [Row(*row) for row in self._next(organization_pk, after, cutoff)]
            # Jobs from the future, as they come about when a clock was wrong, are passed over.
            young = next((row for row in rows if cutoff <= row.created_at <= now), None)
            passed = [row for row in rows if young is None or row.pk < young.pk]
            after = passed[-1].pk if passed else after
            is_last = young is not None or len(rows) < retention.BATCH
            if is_last:
                self._remember(organization_pk, _Mark(after, young.created_at if young else now))
            yield self._delete(passed, cutoff)

    def _next(self, organization_pk: Any, after: int, cutoff: dt.datetime) -> QuerySet[Job, Any]:
        rows = store().newer_of_type(self.job_type, organization_pk, after)
        rows = rows.filter(created_at__lt=cutoff) if self._is_thorough else rows
        return rows.values_list(*Row._fields)[: retention.BATCH]

    def _delete(self, passed: list[Row], cutoff: dt.datetime) -> int:
        old = [row for row in passed if is_old(row, cutoff) and row.pk not in self._refused]
        if not old:
            return 0
        self.behind = (cutoff - old[-1].created_at).total_seconds()
        deletion = delete_rows([row.pk for row in old], ended_before=cutoff)
        self._refused.note(deletion.refused)
        return len(deletion.job_ids)

    def _remember(self, organization_pk: Any, mark: _Mark) -> None:
        if organization_pk in self._marks or len(self._marks) < MAX_MARKS:
            self._marks[organization_pk] = mark

    def _cutoff(self, now: dt.datetime) -> dt.datetime:
        return now - dt.timedelta(days=self.days)


def is_old(row: Row, cutoff: dt.datetime) -> bool:
    """Return whether a job ended before the cutoff."""
    return row.status in TERMINAL and is_before(row.completed_at or row.canceled_at, cutoff)
