"""How soon it can be over: list scheduling by a dispatcher that knows everything and takes no time."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

#: What a job is counted with, and the limit of each.
Buckets: TypeAlias = tuple[tuple[Hashable, int], ...]
#: A process: its pool, and its number there.
Process: TypeAlias = tuple[str, int]


class Item(NamedTuple):
    """A job: how long it runs, where, and what limits it."""

    seconds: float
    pool: str
    buckets: Buckets
    #: Whose turn it takes, and of which line, where turns are fair.
    turn: Hashable = None


class Loss(NamedTuple):
    """A process of a pool dies at a moment, and another takes its place so many seconds later."""

    at: float
    pool: str
    absent: float


def least(items: Iterable[Item], slots: Mapping[str, int]) -> float:
    """Return the seconds that no schedule can go below: the work of a pool or limit, shared by all that it lets run."""
    seconds: dict[Hashable, float] = defaultdict(float)
    for item in items:
        for bucket, limit in (*item.buckets, (item.pool, slots[item.pool])):
            seconds[bucket] += item.seconds / limit
    return max(seconds.values())


def makespan(
    items: Sequence[Item],
    processes: Mapping[str, int],
    threads: int,
    losses: Sequence[Loss] = (),
    *,
    is_fair: bool = False,
) -> float:
    """Return when the last job ends, if always the one goes next whose limit has most work left for what it lets run.

    If it ``is_fair``, those go next that had the fewest turns, of one's jobs that which waits the longest. Here as
    there no slot is idle while a job that may run waits. What runs in a process that is lost begins anew, before others
    of its lane.
    """
    return _Simulation(items, processes, threads, is_fair=is_fair).run(losses)


class _Simulation:
    def __init__(self, items: Sequence[Item], processes: Mapping[str, int], threads: int, *, is_fair: bool) -> None:
        self._items, self._threads, self._is_fair = items, threads, is_fair
        self._turns: Counter[Hashable] = Counter()
        self._lanes: dict[str, dict[Buckets, deque[int]]] = defaultdict(lambda: defaultdict(deque))
        #: Seconds that are left for each limit, if it is always reached.
        self._left: dict[Hashable, float] = defaultdict(float)
        self._running: Counter[Hashable] = Counter()
        self._free: dict[Process, int] = {
            (pool, number): threads for pool, count in processes.items() for number in range(count)
        }
        #: The jobs that run in each process, and the number of the event that ends each.
        self._at_work: dict[Process, dict[int, int]] = {process: {} for process in self._free}
        self._numbers = itertools.count()
        self._events: list[tuple[float, int, Callable[[float, int], None]]] = []
        self._last = 0.0
        for number, item in enumerate(items):
            self._lanes[item.pool][item.buckets].append(number)
            self._weigh(item, 1)

    def _weigh(self, item: Item, sign: int) -> None:
        for bucket, limit in item.buckets:
            self._left[bucket] += sign * item.seconds / limit

    def run(self, losses: Sequence[Loss]) -> float:
        for loss in losses:
            self._plan(loss.at, lambda at, _, loss=loss: self._lose(at, loss))  # type: ignore[misc]
        self._fill()
        while self._events:
            at, event, happen = heapq.heappop(self._events)
            happen(at, event)
            self._fill(at)
        return self._last

    def _plan(self, at: float, happen: Callable[[float, int], None]) -> int:
        event = next(self._numbers)
        heapq.heappush(self._events, (at, event, happen))
        return event

    def _fill(self, at: float = 0.0) -> None:
        """Start what may start now."""
        for process in self._free:
            while self._free[process] and (lane := self._next(process[0])) is not None:
                self._start(at, process, lane.popleft())

    def _next(self, pool: str) -> deque[int] | None:
        """Return the lane that may start a job and whose turn it is; None if there is none."""
        lanes = self._lanes[pool]
        ready = [
            buckets
            for buckets, lane in lanes.items()
            if lane and all(self._running[bucket] < limit for bucket, limit in buckets)
        ]
        if not ready:
            return None
        if self._is_fair:
            return min((lanes[buckets] for buckets in ready), key=lambda lane: self._turn(lane[0]))
        return lanes[max(ready, key=lambda buckets: max((self._left[bucket] for bucket, _ in buckets), default=0.0))]

    def _turn(self, number: int) -> tuple[int, int]:
        item = self._items[number]
        return self._turns[item.turn], number

    def _start(self, at: float, process: Process, number: int) -> None:
        item = self._items[number]
        self._weigh(item, -1)
        self._turns[item.turn] += 1
        self._running.update(bucket for bucket, _ in item.buckets)
        self._free[process] -= 1
        self._at_work[process][number] = self._plan(
            at + item.seconds, lambda at, event: self._end(at, event, process, number)
        )

    def _end(self, at: float, event: int, process: Process, number: int) -> None:
        if self._at_work[process].get(number) == event:
            self._leave(process, number)
            self._free[process] += 1
            self._last = at

    def _leave(self, process: Process, number: int) -> None:
        del self._at_work[process][number]
        self._running.subtract(bucket for bucket, _ in self._items[number].buckets)

    def _lose(self, at: float, loss: Loss) -> None:
        process = max((one for one in self._free if one[0] == loss.pool), key=lambda one: len(self._at_work[one]))
        if not self._at_work[process]:
            return
        for number in list(self._at_work[process]):
            self._leave(process, number)
            self._lanes[loss.pool][self._items[number].buckets].appendleft(number)
            self._weigh(self._items[number], 1)
        self._free[process] = 0
        self._plan(at + loss.absent, lambda *_: self._free.update({process: self._threads}))
