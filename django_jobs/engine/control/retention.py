"""Deleting what is old: jobs by the days of their types, and what the engine keeps for itself."""

from __future__ import annotations

import datetime as dt
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from django.db.models import Q, QuerySet

from django_jobs.conf import jobs_settings
from django_jobs.engine import sockets
from django_jobs.engine.alerts import records as alert_records
from django_jobs.engine.control import deletion, operations, switches
from django_jobs.engine.control.deletion import delete_rows
from django_jobs.engine.insight import rollups
from django_jobs.engine.job_types.declared_types import own_retention_days
from django_jobs.engine.store import database
from django_jobs.engine.store.database import store
from django_jobs.engine.submission import same_work
from django_jobs.models import Job, Worker
from django_jobs.statuses import TERMINAL

# Deleting jobs that ended long ago, set by set. Their files are deleted afterwards.


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


class RetentionRow(NamedTuple):
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

    Types with retention days of their own are left to others (:class:`TypePruner`), unless an organization is erased.

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
            rows = [RetentionRow(*row) for row in self._next(cutoff).values_list(*RetentionRow._fields)[:BATCH]]
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

    def _advance(self, last: int, aged: Sequence[RetentionRow], cutoff: dt.datetime | None) -> None:
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


def _last(rows: Sequence[RetentionRow]) -> int:
    return rows[-1].pk if rows else 0


# Deleting the old jobs of a type that keeps its own for longer or shorter than the others.
#
# The order of the primary key would lead past the jobs of all other types, and these may be millions that are young. So
# the jobs of such a type are walked by an index, organization by organization, in each from the oldest one up to the
# first that is young. A look at one organization tells when something there grows old next: until then nobody looks
# there again. What is not found in this way (organizations that are new, jobs that ended late or were needed) is found
# by whole passes, over all organizations and from their oldest jobs on, which take one second in so many.


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
        organization = self._first_organization(None)
        while organization:
            yield organization[0]
            organization = self._first_organization(organization[0])

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
                rows = [RetentionRow(*row) for row in self._next(organization_pk, after, cutoff)]
            # Jobs from the future, as they come about when a clock was wrong, are passed over.
            young = next((row for row in rows if cutoff <= row.created_at <= now), None)
            passed = [row for row in rows if young is None or row.pk < young.pk]
            after = passed[-1].pk if passed else after
            is_last = young is not None or len(rows) < BATCH
            if is_last:
                self._remember(organization_pk, _Mark(after, young.created_at if young else now))
            yield self._delete(passed, cutoff)

    def _next(self, organization_pk: Any, after: int, cutoff: dt.datetime) -> QuerySet[Job, Any]:
        rows = store().newer_of_type(self.job_type, organization_pk, after)
        rows = rows.filter(created_at__lt=cutoff) if self._is_thorough else rows
        return rows.values_list(*RetentionRow._fields)[:BATCH]

    def _delete(self, passed: list[RetentionRow], cutoff: dt.datetime) -> int:
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


def is_old(row: RetentionRow, cutoff: dt.datetime) -> bool:
    """Return whether a job ended before the cutoff."""
    return row.status in TERMINAL and is_before(row.completed_at or row.canceled_at, cutoff)


# All pruners together: that of the types for which RETENTION_DAYS counts, and one for each type with its own days.


class Pruning:
    """Deletes jobs that ended long ago. ``days`` take the place of RETENTION_DAYS, not of what a type says."""

    def __init__(self, days: float | None = None, *, is_thorough: bool = False) -> None:
        #: Whether each pruner came to the end of its pass; the next call begins new passes then.
        self.is_through = False
        self._is_thorough = is_thorough
        self._others = Pruner(days, is_thorough=is_thorough)
        self._of_types: dict[str, TypePruner] = {}
        #: The pruners whose passes have ended.
        self._done: set[TypePruner | Pruner] = set()

    def rest(self) -> float:
        """Return for how long to rest after a second of work: one second, and the less the further this is behind."""
        return min(self._others.rest(), *(rest_for(pruner.behind) for pruner in self._of_types.values()), 1.0)

    def prune(self, seconds: float) -> int:
        """Delete old jobs until the end of all passes, for so many seconds; return how many.

        Each type has its share of the time. What it leaves is for the others.
        """
        self._read_types()
        if self.is_through:
            self.is_through = False
            self._done.clear()
        until, total = time.monotonic() + seconds, 0
        all_of_them: list[TypePruner | Pruner] = [*self._of_types.values(), self._others]
        todo = [pruner for pruner in all_of_them if pruner not in self._done]
        for place, pruner in enumerate(todo):
            total += pruner.prune((until - time.monotonic()) / (len(todo) - place))
            if pruner.is_through:
                self._done.add(pruner)
        self.is_through = self._done.issuperset(all_of_them)
        return total

    def _read_types(self) -> None:
        days = own_retention_days()
        self._of_types = {
            name: self._of_types.get(name) or TypePruner(name, type_days, is_thorough=self._is_thorough)
            for name, type_days in days.items()
        }
        for name, pruner in self._of_types.items():
            pruner.days = days[name]


# Deleting what the engine keeps for itself: activity, operations, workers, sockets and their tickets.


#: After so many seconds without a sign, the announcement of a worker is deleted.
WORKER_FORGOTTEN_SECONDS: Final = 120


def forget_activity() -> int:
    """Delete old sums of the activity, and old operations; return how many rows went."""
    return rollups.forget_old() + operations.forget_old()


def forget_sockets() -> int:
    """Delete tickets that nobody used, and sockets of processes that are gone; return how many rows went."""
    return sockets.forget_expired_tickets() + sockets.forget_dead_sockets()


def forget_workers() -> int:
    """Delete the announcements of workers that were silent for two minutes, and what was ordered those that are gone.

    Returns how many rows went.
    """
    now, silence = database.now(), dt.timedelta(seconds=WORKER_FORGOTTEN_SECONDS)
    # The last sign of one that died before the clock was set back is still to come.
    silent = Q(last_seen__lt=now - silence) | Q(last_seen__gt=now + silence)
    return Worker.primary.filter(silent).delete()[0] + switches.forget_old_orders()


# The duties that delete what is old. They may take long, and so have threads and connections of their own.
#
# Many jobs end and grow old in every second, and a storage of files may be slow or hang: neither may delay the duties
# by which jobs run. Only the leading scheduler does it. If two did it at once, each would leave out what the other
# holds.


logger = logging.getLogger("django_jobs")

#: Seconds that one step of a sweep may take.
STEP_SECONDS: Final = 0.25
#: Seconds until a file is tried again that the storage refused to delete.
FILES_PAUSE: Final = 10.0

Step = Callable[[], int]


class Sweeps:
    """The sweeps of one scheduler, each with its own pause once it has come to its end."""

    def __init__(self) -> None:
        self._pruner = Pruning()
        self._files = deletion.FileSweep()
        self._next_pruning = self._next_files = 0.0

    def steps(self) -> dict[str, Step]:
        """Return a step of each sweep by its name; a step returns how much it deleted, 0 where nothing is left."""
        return {
            "prune": self._prune,
            "delete_files": self._delete_files,
            "forget_duplicates": lambda: same_work.forget_expired_keys(STEP_SECONDS),
        }

    def turn(self, name: str) -> tuple[int, float]:
        """Do one step of a sweep; return how much it deleted, and for how many seconds to rest.

        A rest as long as the step takes half of one connection.
        """
        started = time.monotonic()
        count = self.steps()[name]()
        took = time.monotonic() - started if count else 0.0
        rest = self._pruner.rest() if name == "prune" else 1.0
        return count, took * rest or float(jobs_settings.SCHEDULER_INTERVAL)

    def _prune(self) -> int:
        if time.monotonic() < self._next_pruning:
            return 0
        count = self._pruner.prune(STEP_SECONDS)
        if self._pruner.is_through:
            self._next_pruning = time.monotonic() + PAUSE
        return count

    def _delete_files(self) -> int:
        if time.monotonic() < self._next_files:
            return 0
        count = self._files.step(STEP_SECONDS)
        if self._files.is_through:
            self._next_files = time.monotonic() + FILES_PAUSE
        return count
