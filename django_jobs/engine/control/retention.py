"""Deleting jobs that ended long ago, set by set. Their files are deleted afterwards."""

from __future__ import annotations

import datetime as dt
import math
import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from django.db.models import QuerySet

from django_jobs.conf import jobs_settings
from django_jobs.engine.alerts import records as alert_records
from django_jobs.engine.control.deletion import delete_rows
from django_jobs.engine.insight import rollups
from django_jobs.engine.job_types.retention_days import own_retention_days
from django_jobs.engine.store import database
from django_jobs.engine.store.chosen import store
from django_jobs.models import Job
from django_jobs.statuses import TERMINAL

#: Jobs looked at and deleted at once.
BATCH: Final = 1_000
#: Seconds between two passes.
PAUSE: Final = 60.0
#: Seconds after which a job that the database refused to delete is tried again.
REFUSED_SECONDS: Final = 24 * 3600.0
#: What looking at jobs that stay may cost: one second in so many.
SECONDS_PER_SECOND: Final = 50.0
#: The least rest after a second of work, however far behind it is.
LEAST_REST: Final = 0.1


class Row(NamedTuple):
    """What of a job tells whether it may go."""

    pk: int
    job_type_id: str
    status: str
    created_at: dt.datetime
    completed_at: dt.datetime | None
    canceled_at: dt.datetime | None


class RefusedJobs:
    """The jobs that the database refused to delete, which are not tried again in each pass."""

    def __init__(self) -> None:
        self._pks: set[int] = set()
        self._until = 0.0

    def __contains__(self, pk: object) -> bool:
        return pk in self._pks

    def note(self, pks: Sequence[int]) -> None:
        """Leave these out from now on, until REFUSED_SECONDS after the first of all."""
        if not self._pks:
            self._until = time.monotonic() + REFUSED_SECONDS
        self._pks.update(pks)

    def end_pass(self) -> None:
        """Have the next pass try them again, if it is time."""
        if time.monotonic() >= self._until:
            self._pks.clear()


class Pruner:
    """Deletes old jobs in passes over the primary key, in whose order jobs are created.

    A pass ends where jobs are younger than the cutoff. The next one begins there: what lies before are jobs that stay,
    since they have not ended, ended late, or are needed. Those are looked at again in passes from the beginning, in
    each one while they are few; the more they are, the longer the pause between.

    Jobs from the future, as they come about when a clock was wrong, are passed over like those that stay. Jobs that a
    clock dated wrongly by less than the age end a pass as young ones do, until they are old.

    Types with retention days of their own are left to others (``type_retention``), unless an organization is erased.

    With ``is_thorough``, each pass looks at every job that was created before the cutoff, also behind younger ones.
    """

    def __init__(self, days: float | None = None, organization_pk: Any = None, *, is_thorough: bool = False) -> None:
        self.days = days
        self.organization_pk = organization_pk
        #: Whether the last batch came to the end of a pass; the next one begins a new pass then.
        self.is_through = False
        self._is_thorough = is_thorough or organization_pk is not None
        self._after = 0
        #: Up to here no job was young when it was looked at.
        self._frontier = 0
        #: By how many seconds the last old job before the frontier was older than it had to be.
        self._behind = 0.0
        self._is_begun = False
        #: Whether this pass began at the table's beginning, how long its looks took, and when the next such is due.
        self._is_whole = True
        self._looked = 0.0
        self._whole_at = 0.0
        self._refused = RefusedJobs()
        self._own_types: frozenset[str] = frozenset()

    def rest(self) -> float:
        """Return for how long to rest after a second of work: one second, and the less the further this is behind.

        So it keeps up with any number of jobs that it can delete at all, some minutes late where these are many.
        """
        return rest_for(self._behind)

    def prune(self, seconds: float) -> int:
        """Delete old jobs until the end of the pass, for so many seconds; return how many."""
        until = time.monotonic() + seconds
        total = self.prune_batch(seconds)
        while not self.is_through and (left := until - time.monotonic()) > 0:
            total += self.prune_batch(left)
        return total

    def prune_batch(self, seconds: float = math.inf) -> int:
        """Delete the next old jobs and return how many. Return 0 at the end of a pass, or when ``seconds`` are over."""
        until = time.monotonic() + seconds
        self.is_through = False
        if not self._is_begun:
            self._begin_pass()
        while not self.is_through:
            old, cutoff, is_last = self._look()
            deletion = delete_rows(old, ended_before=cutoff)
            self._refused.note(deletion.refused)
            if is_last:
                self._end_pass()
            if deletion.job_ids or time.monotonic() >= until:
                return len(deletion.job_ids)
        return 0

    def _look(self) -> tuple[list[int], dt.datetime | None, bool]:
        """Return which of the next jobs may go, before when they ended, and whether the pass ends with them."""
        started = time.monotonic()
        now = database.now()
        cutoff, own_types = self._cutoff(now), self._read_own_types()
        with store().following_keys():
            rows = [Row(*row) for row in self._next(cutoff).values_list(*Row._fields)[:BATCH]]
        aged = [row for row in rows if is_before(row.created_at, cutoff)]
        young = [row for row in rows if not is_before(row.created_at, cutoff) and row.created_at <= now]
        # Go on behind the jobs that the database refuses, too: they hold up no other.
        self._after = max(self._after, _last(rows))
        self._advance(_last(aged if young else rows), aged[-1:], cutoff)
        old = [
            row.pk
            for row in aged
            if row.status in TERMINAL
            and row.job_type_id not in own_types
            and is_before(row.completed_at or row.canceled_at, cutoff)
            and row.pk not in self._refused
        ]
        self._looked += time.monotonic() - started
        return old, cutoff, len(rows) < BATCH or _last(young) > _last(aged)

    def _advance(self, last: int, aged: Sequence[Row], cutoff: dt.datetime | None) -> None:
        if last > self._frontier:
            self._frontier = last
            if aged and cutoff is not None:
                self._behind = (cutoff - aged[0].created_at).total_seconds()

    def _next(self, cutoff: dt.datetime | None) -> QuerySet[Job]:
        rows = Job.primary.filter(pk__gt=self._after).order_by("pk")
        if self.organization_pk is not None:
            rows = rows.filter(organization_id=self.organization_pk)
        # A job that ended before the cutoff was created before it.
        return rows.filter(created_at__lt=cutoff) if self._is_thorough and cutoff is not None else rows

    def _read_own_types(self) -> frozenset[str]:
        """Return the types to leave out. Where one is no longer so, its jobs may lie before the frontier."""
        own_types = frozenset() if self.organization_pk is not None else frozenset(own_retention_days())
        if not own_types >= self._own_types:
            self._whole_at = 0.0
        self._own_types = own_types
        return own_types

    def _begin_pass(self) -> None:
        """Begin at the frontier, or at the beginning of the table when that is due again."""
        self._is_begun = True
        self._is_whole = self._is_thorough or time.monotonic() >= self._whole_at
        self._after = 0 if self._is_whole else self._frontier
        self._looked = 0.0

    def _end_pass(self) -> None:
        now = time.monotonic()
        if self._is_whole:
            self._whole_at = now + max(0.0, SECONDS_PER_SECOND * self._looked - PAUSE)
        self._is_begun, self.is_through = False, True
        self._behind = 0.0
        self._refused.end_pass()
        if self._cutoff(database.now()) is None:
            rollups.forget_organization(self.organization_pk)
            alert_records.forget_organization(self.organization_pk)

    def _cutoff(self, now: dt.datetime) -> dt.datetime | None:
        """Return the moment before which a job must have ended to be deleted; None: every job that ended is."""
        if self.organization_pk is not None and self.days is None:
            return None
        days = self.days if self.days is not None else float(jobs_settings.RETENTION_DAYS)
        return now - dt.timedelta(days=days)


def rest_for(behind: float) -> float:
    """Return for how long to rest after a second of work by who is so many seconds behind."""
    return max(LEAST_REST, min(1.0, PAUSE / max(PAUSE, behind)))


def is_before(moment: dt.datetime | None, cutoff: dt.datetime | None) -> bool:
    """Return whether a moment that may not be known lies before the cutoff; without one, all do."""
    return cutoff is None or moment is None or moment < cutoff


def _last(rows: Sequence[Row]) -> int:
    return rows[-1].pk if rows else 0
