"""What one pass over the backlog knows, and what it leaves to the next one."""

from __future__ import annotations

import contextlib
import functools
import math
import zlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django_jobs.conf import DEFAULT_POOL
from django_jobs.engine.dispatch import in_flight
from django_jobs.engine.dispatch.backlog import LaneMarks
from django_jobs.engine.dispatch.in_flight import (
    HELD,
    KEPT,
    KEPT_CREDITS,
    KEPT_RATES,
    RATES_LOST,
    InFlight,
    checked_state,
    held_to_write,
    look_at_lock,
    rates_of,
)
from django_jobs.engine.dispatch.limits import QueueLimits, TypeFlow, flow_of, read_held, read_special
from django_jobs.engine.dispatch.rates import NEXT_START, StartLimit, note_next_start, read_rates, recent, started_at
from django_jobs.engine.ports import Queue
from django_jobs.engine.store import database
from django_jobs.engine.store.database import store
from django_jobs.engine.store.values import Candidate, InFlightJob, Lane
from django_jobs.models import JobType

# What one pass leaves to the next, so that unequal shares hold from pass to pass.


#: Keys whose next turn is remembered, the newest.
MOST_KEYS: Final = 1_000
#: A time around ends after so many keys, also if the key with which it began does not come again.
CYCLE_KEYS: Final = 10_000
#: Times around are counted up to here.
CYCLES: Final = 2**20
#: While all weigh the same, what a key is ahead is forgiven by this part of the time that passes.
FORGIVEN: Final = 1 / 16
#: The shortest and the longest round: those where all weigh 100, or 0.01.
ROUND_BOUNDS: Final = (0.01, 100.0)
#: A round fits if a key of mean weight gets so many jobs in it.
FITTING: Final = (0.5, 2.0)
#: Sums of fractions are less exact than this.
TINY: Final = 1e-6


@dataclass(slots=True)
class Credits:
    """What a pass knows of those before it. There is one for each priority.

    Time is virtual: in a time of 1 a key of weight 1 gets one job. ``waits`` is how far away a key's next turn is; one
    that is not there has its turn at once.

    The other fields are for pages. ``round_length`` is the time that a key gets in one visit. ``cycle`` is how many
    times all keys were visited; this time it began with the key ``first``, and visited ``count`` keys, whose weights
    are ``total``. With more keys than can be remembered it ``is_crowded``, and none is.
    """

    waits: dict[str, float] = field(default_factory=dict)
    round_length: float = 1.0
    cycle: int = 0
    first: str = ""
    count: int = 0
    total: float = 0.0
    is_crowded: bool = False

    @classmethod
    def from_json(cls, value: Any) -> Credits:
        """Return what ``to_json`` gave. What is no such value is as none."""
        try:
            waits = {str(key): _finite(wait) for key, wait in value["waits"].items()}
            length, cycle, first, count, total, is_crowded = value["round"]
            counted = max(0, int(count)), _finite(total), bool(is_crowded)
            return cls(_newest(waits), _bounded(_finite(length)), int(cycle) % CYCLES, str(first), *counted)
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
            return cls()

    def to_json(self) -> dict[str, Any]:
        """Return a value for JSON; an empty one where nothing has to be kept."""
        if self == Credits(cycle=self.cycle):
            return {}
        waits = {key: round(wait, 6) for key, wait in _newest(self.waits).items()}
        counted = self.cycle, self.first, self.count, round(self.total, 6), self.is_crowded
        return {"waits": waits, "round": [self.round_length, *counted]}

    def clear(self) -> None:
        """Keep nothing."""
        self.waits, self.first, self.count, self.total, self.is_crowded = {}, "", 0, 0.0, False
        self.round_length = 1.0

    def set_wait(self, key: str, wait: float) -> None:
        """Note how far away a key's next turn is; it is the newest then."""
        self.waits.pop(key, None)
        if abs(wait) > TINY:
            self.waits[key] = wait

    def pass_time(self, time: float, present: Collection[str], part: float = 0.0) -> None:
        """Let the turns of all keys come nearer by a time; those of keys that are ``present`` by a part of it."""
        if self.waits and time > 0.0:
            nearer = {key: wait - time * (part if key in present else 1.0) for key, wait in self.waits.items()}
            self.waits = {key: wait for key, wait in nearer.items() if wait > TINY}

    def begin_page(self, mean: float) -> None:
        """Choose the length of rounds by a page's mean weight, where no page was seen before."""
        if not self.first and self.round_length == 1.0:
            self._fit(mean)

    def visit(self, key: str, weight: float) -> None:
        """Count a page's key that has its visit now. Where each key is due one job, there is nothing to count."""
        if not self.first and abs(weight * self.round_length - 1.0) <= TINY and not self.is_crowded:
            return
        if key == self.first or self.count >= CYCLE_KEYS:
            self._end_cycle()
        self.first = self.first or key
        self.count, self.total = self.count + 1, self.total + weight

    def revisit(self, key: str, weight: float) -> None:
        """Take back the count of a key whose visit goes on in the next pass."""
        if self.first:
            self.count, self.total = self.count - 1, self.total - weight
            self.first = self.first if self.count else ""

    def credit(self, key: str, weight: float) -> float:
        """Return how many jobs a key may take in the visit that it has now.

        A new key may take one at least. Where nobody is remembered, the jobs that it is due since the first cycle are
        rounded down, with a fraction of its own, so that they come at even distances.
        """
        due, wait = weight * self.round_length, self.waits.get(key)
        if wait is not None:
            return 1.0 - wait * weight + due
        if self.is_crowded:
            return math.fmod(zlib.crc32(key.encode()) / 2**32 + due * self.cycle, 1.0) + due
        return max(1.0, due)

    def shrink(self, *, is_page: bool) -> None:
        """Forget the oldest where there are too many keys; of pages all, since the oldest are those that come next."""
        if is_page and len(self.waits) > MOST_KEYS:
            self.is_crowded = True
            self.waits.clear()
        self.waits = _newest(self.waits)

    def _end_cycle(self) -> None:
        """Begin a new time around, with rounds of another length if those do not fit.

        Else they stay as they are: a new length is unfair to those that had their turn with the old one.
        """
        self._fit(self.total / self.count)
        self.is_crowded = self.is_crowded and self.count > MOST_KEYS
        self.cycle = (self.cycle + 1) % CYCLES
        self.first, self.count, self.total = "", 0, 0.0

    def _fit(self, mean: float) -> None:
        if not FITTING[0] <= mean * self.round_length <= FITTING[1]:
            self.round_length = _bounded(1.0 / mean)


def _bounded(length: float) -> float:
    return min(max(length, ROUND_BOUNDS[0]), ROUND_BOUNDS[1])


def _newest(waits: Mapping[str, float]) -> dict[str, float]:
    return dict(list(waits.items())[-MOST_KEYS:]) if len(waits) > MOST_KEYS else dict(waits)


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(number)
    return number


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
    written = {} if lease is None else checked_state(lease.state)
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
        rates = read_rates(rates_of(written), of_starts, jobs, now, started_at, recent)
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
    _credits: dict[str, Credits] = field(default_factory=dict)

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

    def credits(self, name: str) -> Credits:
        """Return what earlier passes left to the shares of the queue with this name; changes of it are kept."""
        if name not in self._credits:
            kept = self.marks.written.get(KEPT_CREDITS) or {}
            self._credits[name] = Credits.from_json(kept.get(name))
        return self._credits[name]

    def kept_credits(self) -> list[str]:
        """Return the names under which earlier passes left something to shares."""
        return list(self.marks.written.get(KEPT_CREDITS) or {})

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
            kept[RATES_LOST] = None
            kept[KEPT_RATES] = self.limits.rates_to_keep()
            kept[NEXT_START] = moment = self.limits.next_at()
            if moment is not None:
                note_next_start(moment - database.now().timestamp())
        if self._credits:
            of_queues = {**(kept[KEPT_CREDITS] or {})}
            of_queues |= {name: found.to_json() for name, found in self._credits.items()}
            kept[KEPT_CREDITS] = {name: value for name, value in of_queues.items() if value}
        return self.marks.to_write(kept)
