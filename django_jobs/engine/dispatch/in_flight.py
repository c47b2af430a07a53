"""What is in flight, that is queued or running: how much it is, and where to find it.

The index of what is in flight holds nothing else, and a walk over all of it is exact. It is slow only where it is full
of entries that nobody can remove, as beside a snapshot that is open for long. There walks begin at a mark, for as long
as the whole ones take no more than a hundredth of the time.

From a mark on, one thing is overlooked until the next whole walk: a job whose move to Queued took longer than a second
from its statement to its commit, while the mark was found. Its organization may then have so many more jobs in flight
than it should. Its lease does not suffer, since the next whole walk comes within a third of LEASE_SECONDS. Jobs whose
types have limits are queued under the dispatcher's lock alone, and counted from marks that were found under it: of them
nothing is overlooked. Each process has marks of its own.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeVar

from django.db.models import QuerySet

from django_jobs.conf import jobs_settings
from django_jobs.engine.dispatch import pools
from django_jobs.engine.ports import Queue
from django_jobs.engine.store.chosen import store
from django_jobs.engine.store.in_flight_values import InFlightJob, InFlightMark
from django_jobs.engine.store.lane_values import Lane
from django_jobs.models import Job

T = TypeVar("T")

#: A whole walk that takes longer is followed by walks from a mark.
SLOW_SECONDS: Final = 0.002
#: How many times as long as a whole walk took the next one has to wait.
REST_FACTOR: Final = 100
#: How long a mark serves: what was queued since then is walked each time.
RENEWAL_SECONDS: Final = 0.25


@dataclass(slots=True)
class InFlight:
    """How many jobs are queued for each queue, and how many of each organization and lane are queued or running.

    ``queued`` counts them by organization and job type. ``organizations`` are those that have any in flight, by the
    pool where these run.
    ``unseen`` is how many more an organization may have, that are queued at this moment and cannot be counted yet.
    """

    queued: dict[Queue, Counter[tuple[Any, str]]] = field(default_factory=lambda: defaultdict(Counter))
    by_organization: dict[Any, int] = field(default_factory=lambda: defaultdict(int))
    by_lane: Counter[Lane] = field(default_factory=Counter)
    organizations: dict[str, set[Any]] = field(default_factory=lambda: defaultdict(set))
    unseen: int = 0

    def add(self, queue: Queue, lane: Lane) -> None:
        """Count one more job, which is about to be queued."""
        self.queued[queue][lane.organization_pk, lane.job_type] += 1
        self.by_organization[lane.organization_pk] += 1
        self.organizations[queue.pool].add(lane.organization_pk)


class _Known(NamedTuple):
    """A mark, when it is to be renewed, and when a whole walk is due."""

    mark: InFlightMark
    serves_until: float
    rests_until: float


class _Marks:
    """Where this process' walks begin."""

    def __init__(self) -> None:
        self._known: _Known | None = None

    def forget(self) -> None:
        self._known = None

    def current(self) -> InFlightMark | None:
        """Return where a walk may begin; None if it must be a whole one."""
        now, known = time.monotonic(), self._known
        if known is not None and now >= known.rests_until:
            mark = store().mark_in_flight()
            known = _kept(mark, time.monotonic() - now)
        elif known is not None and now >= known.serves_until:
            known = _renewed(known, now)
        self._known = known
        return known and known.mark

    def walking_all(self, walk: Callable[[], list[T]]) -> list[T]:
        """Return what a whole walk finds; if that was slow, find a mark for the next ones."""
        began = time.monotonic()
        found = walk()
        seconds = time.monotonic() - began
        self._known = _kept(store().mark_in_flight(), seconds) if seconds > SLOW_SECONDS else None
        return found


#: Marks that were found under the dispatcher's lock overlook nothing that was queued under it. Others may.
_locked: Final = _Marks()
_free: Final = _Marks()


def count_in_flight(*, has_lock: bool = True) -> InFlight:
    """Count what is queued and running, for a process that has the dispatcher's lock, or one that goes without."""
    marks = _locked if has_lock else _free
    mark = marks.current()
    counts = InFlight()
    for item in store().count_in_flight(mark) if mark else marks.walking_all(store().count_in_flight):
        pool = pools.pool_of(item.lane.job_type)
        if item.queued:
            counts.queued[Queue(pool, item.priority)][item.lane.organization_pk, item.lane.job_type] += item.queued
        counts.organizations[pool].add(item.lane.organization_pk)
        counts.by_organization[item.lane.organization_pk] += item.total
        counts.by_lane[item.lane] += item.total
    return counts


def queued_of(job_types: Collection[str]) -> list[InFlightJob]:
    """Return the jobs of these types that are queued, all of them, for a process that has the dispatcher's lock."""
    if not job_types:
        return []
    mark = _locked.current()
    if mark is not None:
        return store().queued_jobs(job_types, mark)
    return _locked.walking_all(lambda: store().queued_jobs(job_types))


def read(rows: QuerySet[Job, T], limit: int | None = None) -> list[T]:
    """Return these rows, which are of jobs in flight, found from the mark on if there is one."""
    mark = _free.current()
    if mark is not None:
        return list(store().from_mark(rows, mark)[:limit])
    return _free.walking_all(lambda: list(rows[:limit]))


def forget() -> None:
    """Forget the marks, as a process that has just started."""
    _locked.forget()
    _free.forget()


def _renewed(known: _Known, now: float) -> _Known | None:
    """Return the mark of this moment."""
    mark = store().mark_in_flight(known.mark)
    if mark is None:
        return None
    return known._replace(mark=mark, serves_until=now + RENEWAL_SECONDS)


def _kept(mark: InFlightMark | None, seconds: float) -> _Known | None:
    """Return a mark after a whole walk that took so long; None if that was fast, or the store has no marks."""
    if mark is None or seconds <= SLOW_SECONDS:
        return None
    now = time.monotonic()
    rest = min(REST_FACTOR * seconds, float(jobs_settings.LEASE_SECONDS) / 3)
    return _Known(mark, now + RENEWAL_SECONDS, now + rest)
