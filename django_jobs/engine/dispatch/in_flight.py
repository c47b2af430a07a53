"""What is in flight, and what passes keep in the row of the dispatchers' lock."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from django.db.models import QuerySet

from django_jobs.conf import jobs_settings
from django_jobs.engine import timing
from django_jobs.engine.dispatch import rates, window
from django_jobs.engine.memory import forgets
from django_jobs.engine.ports import Queue
from django_jobs.engine.store.database import store
from django_jobs.engine.store.values import InFlightJob, InFlightMark, Lane
from django_jobs.models import EngineLease, Job
from django_jobs.statuses import Status

# What is in flight, that is queued or running: how much it is, and where to find it.
#
# The index of what is in flight holds nothing else, and a walk over all of it is exact. It is slow only where it is
# full of entries that nobody can remove, as beside a snapshot that is open for long. There walks begin at a mark, for
# as long as the whole ones take no more than a hundredth of the time.
#
# From a mark on, one thing is overlooked until the next whole walk: a job whose move to Queued took longer than a
# second from its statement to its commit, while the mark was found. Its organization may then have so many more jobs in
# flight than it should. Its lease does not suffer, since the next whole walk comes within a third of LEASE_SECONDS.
# Jobs whose types have limits are queued under the dispatcher's lock alone, and counted from marks that were found
# under it: of them nothing is overlooked. Each process has marks of its own.


T = TypeVar("T")

#: How many times as long as a whole walk took the next one has to wait.
REST_FACTOR: Final = 100


@dataclass(slots=True)
class InFlight:
    """How many jobs are queued for each queue, and how many of each organization and lane are queued or running.

    ``queued`` counts them by organization and job type.
    ``unseen`` is how many more an organization may have, that are queued at this moment and cannot be counted yet.
    """

    queued: dict[Queue, Counter[tuple[Any, str]]] = field(default_factory=lambda: defaultdict(Counter))
    by_organization: dict[Any, int] = field(default_factory=lambda: defaultdict(int))
    by_lane: Counter[Lane] = field(default_factory=Counter)
    unseen: int = 0


class _Marks:
    """Where this process' walks begin: at a mark, until when that serves, and when a whole walk is due."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self._mark: InFlightMark | None = None
        self._serves_until = self._rests_until = 0.0

    def current(self) -> InFlightMark | None:
        """Return where a walk may begin; None if it must be a whole one."""
        now, mark = time.monotonic(), self._mark
        if mark is None:
            return None
        if now >= self._rests_until:
            mark = store().mark_in_flight()
            self._keep(mark, time.monotonic() - now)
        elif now >= self._serves_until:
            self._mark = store().mark_in_flight(mark)
            self._serves_until = now + timing.COUNT_MARK_SECONDS
        return self._mark

    def walking_all(self, walk: Callable[[], list[T]]) -> list[T]:
        """Return what a whole walk finds; if that was slow, find a mark for the next ones."""
        began = time.monotonic()
        found = walk()
        seconds = time.monotonic() - began
        self._keep(store().mark_in_flight() if seconds > timing.SLOW_COUNT_SECONDS else None, seconds)
        return found

    def _keep(self, mark: InFlightMark | None, seconds: float) -> None:
        """Keep the mark of a whole walk that took so long; none if that was fast, or the store has no marks."""
        now = time.monotonic()
        self._serves_until = now + timing.COUNT_MARK_SECONDS
        self._rests_until = now + min(REST_FACTOR * seconds, float(jobs_settings.LEASE_SECONDS) / 3)
        self._mark = mark if seconds > timing.SLOW_COUNT_SECONDS else None


#: Marks that were found under the dispatcher's lock overlook nothing that was queued under it. Others may.
_locked: Final = _Marks()
_free: Final = _Marks()


def count_in_flight(*, has_lock: bool = True) -> InFlight:
    """Count what is queued and running, for a process that has the dispatcher's lock, or only wants to know."""
    marks = _locked if has_lock else _free
    mark = marks.current()
    counts = InFlight()
    for item in store().count_in_flight(mark) if mark else marks.walking_all(store().count_in_flight):
        if item.queued:
            pool = window.pool_of(item.lane.job_type)
            counts.queued[Queue(pool, item.priority)][item.lane.organization_pk, item.lane.job_type] += item.queued
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


def read_in_flight(rows: QuerySet[Job, T], limit: int | None = None) -> list[T]:
    """Return these rows, which are of jobs in flight, found from the mark on if there is one."""
    mark = _free.current()
    if mark is not None:
        return list(store().from_mark(rows, mark)[:limit])
    return _free.walking_all(lambda: list(rows[:limit]))


@forgets
def forget_in_flight() -> None:
    """Forget the marks, as a process that has just started."""
    _locked.forget()
    _free.forget()


# Queued jobs that nobody can claim for now, since others' transactions hold their rows.
#
# A process that finds one notes it. Its next pass takes the notes over into the row of the dispatchers' lock, so that
# all of them know. Such a job takes no room in the window: it keeps no worker from others' jobs.


#: Under which name the row has them.
HELD: Final = "held"

#: By job, until when this process' notes hold, in seconds since the epoch.
_noted: Final[dict[int, float]] = {}
forgets(_noted.clear)


def note_held(pks: Iterable[int], seconds: float) -> None:
    """Note that these jobs were found to be held, for so many seconds."""
    _noted.update(dict.fromkeys(pks, time.time() + seconds))


def known_held(state: Mapping[str, Any]) -> dict[int, float]:
    """Return the jobs that are held as far as this process and the row's state tell, each with until when it is."""
    now = time.time()
    found = {int(pk): until for pk, until in (state.get(HELD) or {}).items()}
    found |= dict(_noted)  # a copy, since another thread may add to it
    held = {pk: until for pk, until in found.items() if now < until < now + timing.LONGEST_NOTE_SECONDS}
    for pk in _noted.keys() - held.keys():
        _noted.pop(pk, None)
    return held


def leave_out_held(counts: InFlight, state: Mapping[str, Any]) -> None:
    """Count the tickets of jobs that are held as if there were none."""
    if not (held := known_held(state)):
        return
    rows = Job.primary.filter(pk__in=held, status=Status.QUEUED)
    for priority, organization_pk, job_type in rows.values_list("priority", "organization_id", "job_type_id"):
        counts.queued[Queue(window.pool_of(job_type), priority)][organization_pk, job_type] -= 1
    for queue, tickets in counts.queued.items():
        counts.queued[queue] = +tickets


# That one dispatcher works at a time: a row's lock, for as long as a transaction lasts.


LOCK_LEASE: Final = "dispatcher"


def take_lock(seconds: float = 0.0) -> EngineLease | None:
    """Return the row, locked until the transaction ends; None when other dispatchers have it for so many seconds.

    Where it is new, what started before is not known: it may have been deleted.
    """
    rows = EngineLease.primary.filter(pk=LOCK_LEASE)
    lease = store().first_locked(rows, seconds)
    if lease is None and not rows.exists():
        new = EngineLease(name=LOCK_LEASE, state={KEPT_RATES: rates.LOST_RATES})
        EngineLease.primary.bulk_create([new], ignore_conflicts=True)
        lease = store().first_locked(rows, seconds)
    return lease


def look_at_lock() -> EngineLease | None:
    """Return the row as it is, without the lock."""
    return EngineLease.primary.filter(pk=LOCK_LEASE).first()


# What a pass of the dispatcher leaves to the next one, in the row of the dispatchers' lock.


#: Under which names the row has the cursors, the marks, and what other parts keep there.
KEPT_CURSORS: Final = "cursors"
KEPT_LANES: Final = "type_lanes"
KEPT_RATES: Final = "rates"
KEPT_LEADS: Final = "leads"
#: When a pass may start more than the last one though nothing else happens: in seconds since the epoch, by the clock of
#: the database. The leading scheduler makes one then. Without a type at its rate or an open breaker there is none.
NEXT_START: Final = "next_at"
KEPT: Final = (KEPT_RATES, KEPT_LEADS, NEXT_START, HELD)
