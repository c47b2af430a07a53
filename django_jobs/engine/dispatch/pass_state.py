"""What one pass over the backlog knows, and what it leaves to the next one."""

from __future__ import annotations

import contextlib
import functools
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django_jobs.conf import DEFAULT_POOL
from django_jobs.engine.dispatch import in_flight
from django_jobs.engine.dispatch.backlog import LaneMarks
from django_jobs.engine.dispatch.in_flight import (
    HELD,
    KEPT,
    KEPT_LEADS,
    KEPT_RATES,
    InFlight,
    held_to_write,
    look_at_lock,
)
from django_jobs.engine.dispatch.limits import QueueLimits, TypeFlow, flow_of, read_held, read_special
from django_jobs.engine.dispatch.rates import NEXT_START, StartLimit, note_next_start, read_rates, recent, started_at
from django_jobs.engine.ports import Queue
from django_jobs.engine.store import database
from django_jobs.engine.store.database import store
from django_jobs.engine.store.values import Candidate, InFlightJob, Lane
from django_jobs.models import JobType

# What one pass over the backlog knows: what is in flight, where walks begin, and what limits and shares leave.


#: Whether rates of starts are passed over, as in a test, where no time passes.
_ignores_rates: bool = False


@contextlib.contextmanager
def without_rates() -> Iterator[None]:
    """Pass over rates of starts inside the block."""
    global _ignores_rates  # noqa: PLW0603
    before, _ignores_rates = _ignores_rates, True
    try:
        yield
    finally:
        _ignores_rates = before


def limits_of(types: Iterable[JobType]) -> QueueLimits:
    """Return what the limits of these types leave at this moment, for somebody who only wants to know."""
    kinds = {kind.pk: flow_of(kind) for kind in types}
    if not any(kind.has_limits for kind in kinds.values()):
        return QueueLimits(kinds)
    lease = look_at_lock()
    queued = store().queued_jobs(of_starts) if (of_starts := _rates_of(kinds)) else []
    written = {} if lease is None else lease.state
    return _read_limits(kinds, in_flight.count_in_flight(has_lock=False), queued, written, closes=False)


def _rates_of(kinds: Mapping[str, TypeFlow]) -> dict[str, StartLimit]:
    """Return how many may start, of the types that have a limit of that."""
    return {
        name: StartLimit(
            kind.max_starts, kind.max_starts_per_key if kind.concurrency_key else None, max(1, kind.max_starts_window)
        )
        for name, kind in kinds.items()
        if kind.has_rate
    }


def _read_limits(
    kinds: Mapping[str, TypeFlow],
    counts: InFlight,
    queued: Iterable[InFlightJob],
    written: Mapping[str, Any],
    *,
    closes: bool = True,
) -> QueueLimits:
    """Return what limits leave by what is in flight, what is queued of types with rates, and the dispatcher's row."""
    rates = None
    if of_starts := _rates_of(kinds):
        now = database.now().timestamp()  # no earlier than what is queued was read
        jobs = [
            (item.lane.job_type, item.lane.organization_pk, item.lane.key, item.pk, item.attempt) for item in queued
        ]
        rates = read_rates(written.get(KEPT_RATES), of_starts, jobs, now, started_at, recent)
    has_breaker = any(kind.breaker_failures for kind in kinds.values())
    return QueueLimits(kinds, counts.by_lane, rates, read_held(closes=closes) if has_breaker else None)


@dataclass
class PassState:
    """The state of one pass, made under the dispatcher's lock."""

    in_flight: InFlight
    marks: LaneMarks = field(default_factory=LaneMarks)
    #: Whether types with rates are left out, so that what is known of those stays as it is.
    leaves_rates: bool = False
    #: The jobs that were picked, by priority and lane: until they are moved, the lanes still begin with them.
    picked: dict[tuple[int, Lane], set[int]] = field(default_factory=lambda: defaultdict(set))
    _leads: dict[str, dict[str, float]] = field(default_factory=dict)

    @functools.cached_property
    def kinds(self) -> Mapping[str, TypeFlow]:
        """The types that are not plain, read when something waits."""
        kinds = read_special()
        if _ignores_rates:
            return {name: kind._replace(max_starts=None, max_starts_per_key=None) for name, kind in kinds.items()}
        return kinds

    @functools.cached_property
    def limits(self) -> QueueLimits:
        """What the limits leave."""
        queued = in_flight.queued_of(_rates_of(self.kinds))
        return _read_limits(self.kinds, self.in_flight, queued, self.marks.written)

    def waiting_types(self, priorities: Sequence[int]) -> dict[Queue, list[str]]:
        """Return the queues of these priorities for which something waits, the most urgent first, and its types."""
        found: dict[Queue, list[str]] = {}
        for priority, job_type in self.marks.waiting_types(priorities):
            kind = self.kinds.get(job_type)
            found.setdefault(Queue(kind.pool if kind else DEFAULT_POOL, priority), []).append(job_type)
        return {queue: sorted(found[queue]) for queue in sorted(found, key=lambda queue: (-queue.priority, queue.pool))}

    def leads(self, name: str) -> dict[str, float]:
        """Return how far organizations are ahead in the queue with this name; changes of it are kept."""
        if name not in self._leads:
            self._leads[name] = {**self.marks.written.get(KEPT_LEADS, {}).get(name, {})}
        return self._leads[name]

    def kept_leads(self) -> list[str]:
        """Return the queues of which earlier passes left how far organizations are ahead."""
        return list(self.marks.written.get(KEPT_LEADS, {}))

    def take(self, queue: Queue, item: Candidate) -> None:
        """Count one more job, which is about to be queued."""
        self.in_flight.add(queue, item.lane)
        self.picked[queue.priority, item.lane].add(item.pk)
        self.limits.take(item)

    def settle(self, picked: Collection[Candidate], moved: Collection[int]) -> None:
        """Note which of the jobs that were picked have moved."""
        if picked:
            self.limits.settle(picked, moved)

    def to_write(self) -> dict[str, Any] | None:
        """Return the new state of the dispatcher's row; None if it may stay as it is. Note when more may go."""
        kept = {name: self.marks.written.get(name) for name in KEPT}
        kept[HELD] = held_to_write(self.marks.written)
        if "limits" in self.__dict__ and not self.leaves_rates:
            kept[KEPT_RATES] = self.limits.rates_to_keep()
            kept[NEXT_START] = moment = self.limits.next_at()
            if moment is not None:
                note_next_start(moment - database.now().timestamp())
        if self._leads:
            of_queues = {**(kept[KEPT_LEADS] or {}), **self._leads}
            kept[KEPT_LEADS] = {name: leads for name, leads in of_queues.items() if leads}
        return self.marks.to_write(kept)
