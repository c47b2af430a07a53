"""Putting the unfinished jobs of a type into the lanes of another concurrency key, set by set.

Whoever changes a type's key changes no job. The scheduler sees by the type's row that jobs may be in lanes of the key
before (``keyed_by``), walks all jobs of that type in the order of an index, and writes where the lane is another one.
Until it is through, ``keyed_by`` is None. What ended for good is passed by; Dead Letters are not, since they may be
retried.

A submission that read the key before the change may commit after the walk, on a database that does not compare the
type's version in the insert, or from a long transaction. So the type is walked again, some time later. So is each type
with a key when a scheduler comes to lead, which does not know what its predecessor had still to walk again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any, Final

from django.db.models import F

from django_jobs.engine import timing
from django_jobs.engine.dispatch import backlog, dispatcher
from django_jobs.engine.job_types.parameters import lane_key
from django_jobs.engine.store import database
from django_jobs.engine.store.database import store
from django_jobs.engine.store.values import parts_of
from django_jobs.models import Job, JobType
from django_jobs.statuses import FINAL

#: Entries of the index that one statement reads, and jobs that one transaction writes.
AT_ONCE: Final = 2_000
WRITTEN_AT_ONCE: Final = 200


class _Walk:
    """One walk over the jobs of a type. ``missed`` tells that others held a job that should have been written."""

    def __init__(self, type_name: str, key: str) -> None:
        self.type_name = type_name
        self.key = key
        self.missed = False
        self.is_through = False
        #: The organization and the key of the last job that it passed.
        self._place: tuple[Any, int] | None = None

    def step(self) -> int:
        """Look at the next jobs; return how many were written."""
        with store().following_keys():
            rows = self._next()
        unfinished = [pk for _, pk, status in rows if status not in FINAL]
        written = sum(map(self._write, parts_of(unfinished, WRITTEN_AT_ONCE)))
        self.is_through = len(rows) < AT_ONCE
        if rows:
            self._place = rows[-1][:2]
        return written

    def _next(self) -> list[tuple[Any, int, str]]:
        columns, kind = ("organization_id", "pk", "status"), self.type_name
        if self._place is None:
            return list(store().of_type(kind).values_list(*columns)[:AT_ONCE])
        organization_pk, pk = self._place
        older = store().older_of_type(kind, organization_pk, pk)
        rows = list(older.values_list(*columns)[:AT_ONCE])
        if len(rows) < AT_ONCE:
            rows += store().of_type(kind, organization_pk).values_list(*columns)[: AT_ONCE - len(rows)]
        return rows

    def _write(self, pks: Sequence[int]) -> int:
        """Write the lanes of those of these jobs that are in another one, under a lock on their rows."""
        wrong = [job.pk for job in Job.primary.filter(pk__in=pks).only(*_READ) if self._is_wrong(job)]
        return database.in_transaction(lambda: self._rewrite(wrong)) if wrong else 0

    def _rewrite(self, pks: Sequence[int]) -> int:
        rows = Job.primary.filter(pk__in=pks).exclude(status__in=sorted(FINAL)).only(*_READ)
        held = list(database.locked(rows, skip=True))
        self.missed |= len(held) < len(pks) and rows.count() > len(held)
        wrong = [job for job in held if self._is_wrong(job)]
        for job in wrong:
            job.lane_key = self._lane_of(job)
        return Job.primary.bulk_update(wrong, ["lane_key"]) if wrong else 0

    def _is_wrong(self, job: Job) -> bool:
        return job.lane_key != self._lane_of(job)

    def _lane_of(self, job: Job) -> int:
        return lane_key(self.key, job.input_parameters)


_READ: Final = ("pk", "input_parameters", "lane_key")


class LaneKeyWatch:
    """Walks the types of which the key changed, one after the other. Where none did, it reads the types alone."""

    def __init__(self) -> None:
        self._walk: _Walk | None = None
        #: When which types are walked although nothing changed.
        self._again: dict[str, list[float]] = {}
        self._called_at = -math.inf

    def rewrite(self) -> int:
        """Go on for LANE_KEYS_TICK_SECONDS; return how many jobs came into another lane."""
        now = time.monotonic()
        if now - self._called_at > timing.LANE_KEYS_GAP_SECONDS:
            self._begin(now)
        changed = self._find_changed()
        count = 0
        while time.monotonic() < now + timing.LANE_KEYS_TICK_SECONDS and (walk := self._current(changed)) is not None:
            count += walk.step()
            if walk.is_through:
                self._walk = None
                self._end(walk, is_change=changed.pop(walk.type_name, None) is not None)
        self._called_at = time.monotonic()
        return count

    def _begin(self, now: float) -> None:
        """Begin anew: others may have led in between."""
        keyed = JobType.primary.exclude(concurrency_key="").values_list("pk", flat=True)
        self._walk, self._again = None, {name: [now] for name in keyed}

    def _find_changed(self) -> dict[str, str]:
        """Return the key of each type that has unfinished jobs of unknown lanes, and note in its row that it may."""
        rows = JobType.primary.order_by("pk")
        keyed_by = dict(rows.exclude(keyed_by=F("concurrency_key")).values_list("pk", "concurrency_key"))
        if keyed_by:
            # From now on, a return to the key of before is no sign that nothing has to be done.
            rows.order_by().filter(pk__in=list(keyed_by), keyed_by__isnull=False).update(keyed_by=None)
        return keyed_by

    def _current(self, changed: dict[str, str]) -> _Walk | None:
        """Return the walk that goes on, or the next one. One whose key is no longer the type's is given up."""
        walk = self._walk
        if walk is None or changed.get(walk.type_name, walk.key) != walk.key:
            self._walk = self._next(changed)
        return self._walk

    def _next(self, changed: dict[str, str]) -> _Walk | None:
        for name, key in changed.items():
            return _Walk(name, key)
        now = time.monotonic()
        due = [name for name, moments in self._again.items() if moments and moments[0] <= now]
        for name, key in JobType.primary.filter(pk__in=due[:1]).values_list("pk", "concurrency_key"):
            self._again[name].pop(0)
            return _Walk(name, key)
        for name in due[:1]:
            del self._again[name]  # the type was deleted
        return None

    def _end(self, walk: _Walk, *, is_change: bool) -> None:
        """Note that all jobs of the type are in their lanes, unless the key changed again or a job was held."""
        again = self._again.setdefault(walk.type_name, [])
        if walk.missed and not is_change:
            again.insert(0, time.monotonic() + 1)
        rows = JobType.primary.filter(pk=walk.type_name, concurrency_key=walk.key, keyed_by__isnull=True)
        if is_change and not walk.missed and rows.update(keyed_by=walk.key):
            again[:] = [time.monotonic() + seconds for seconds in timing.LANE_KEYS_AGAIN_SECONDS]
            backlog.want_whole_walk()
            database.once_on_commit(dispatcher.wake)
