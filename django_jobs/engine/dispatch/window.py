"""How many tickets the broker should hold: what the live workers ask for, each for the queues that it serves."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from django_jobs import pools
from django_jobs.engine.ports import Queue
from django_jobs.engine.store import database
from django_jobs.models import Worker

#: How many tickets of a queue the broker should hold while no worker is known that serves it.
MIN_WINDOW: Final = 8
CACHE_SECONDS: Final = 0.25
#: A worker process that gave no sign for so long counts as gone.
FRESH_SECONDS: Final = 30
#: How long a submission relies on the broker having had no room. Less than the pause of a worker's refiller.
FULL_SECONDS: Final = 0.004


@dataclass(frozen=True, slots=True)
class Window:
    """How many tickets the broker should hold, by queue.

    ``sizes`` are what the known workers of a queue want within reach together. They are no larger, since a
    ticket at the broker keeps its place: more urgent jobs, and other tenants', would wait behind it. Where no such
    worker is known, a size is MIN_WINDOW. ``rivals`` are the queues that these workers serve as well, of
    whichever pool; where no worker is known at all, the other queues of its pool. ``slots`` is how many jobs of a
    queue these workers run at once.
    """

    sizes: Mapping[Queue, int]
    rivals: Mapping[Queue, frozenset[Queue]]
    slots: Mapping[Queue, int]

    @property
    def most_at_once(self) -> int:
        """The most jobs that one pass of the dispatcher may queue."""
        return sum(self.sizes.values())

    def taken(self, queue: Queue, tickets: Mapping[Queue, int]) -> int:
        """Return how much of it is taken by ``tickets``, counted by queue: by those its workers take no later."""
        rivals, priority = self.rivals.get(queue, frozenset()), queue.priority
        return sum(count for other, count in tickets.items() if other.priority >= priority and other in rivals)

    def room(self, queue: Queue, tickets: Mapping[Queue, int]) -> int:
        """Return how many more tickets of a queue it has room for; negative if it holds too many.

        For those of a pool that is not configured there is none.
        """
        return self.sizes.get(queue, 0) - self.taken(queue, tickets)

    def has_room(
        self, priority: int, share: float, tickets: Mapping[Queue, int], in_pools: Collection[str] = ()
    ) -> bool:
        """Return whether less than this share of it is taken, for this priority or for a lower one.

        The lower ones count because other workers may serve them. Only these pools count, where any is named.
        """
        below = [item for item in self.sizes if item.priority <= priority and (not in_pools or item.pool in in_pools)]
        return any(self.taken(other, tickets) < max(1.0, share * self.sizes[other]) for other in below)


_known: tuple[float, Window] | None = None


def read_window(seconds: float = CACHE_SECONDS) -> Window:
    """Return what the workers ask for, as it was within so many seconds."""
    global _known  # noqa: PLW0603  (a process-wide cache)
    if _known is None or time.monotonic() >= _known[0] + seconds:
        _known = (time.monotonic(), _read())
    return _known[1]


_full: tuple[object, Queue | None, float] = (None, None, 0.0)


def was_just_full(broker: object, queue: Queue) -> bool:
    """Return whether the broker had no room for this queue within FULL_SECONDS.

    Then its tickets have still to be taken. The worker that takes the last one looks at the backlog again after a
    longer pause than that, so a new job is not overlooked.
    """
    return _full[0] is broker and _full[1] == queue and time.monotonic() < _full[2]


def note_full(broker: object, queue: Queue) -> None:
    """Note that the broker has no room for this queue."""
    global _full  # noqa: PLW0603  (a process-wide note)
    _full = (broker, queue, time.monotonic() + FULL_SECONDS)


def forget() -> None:
    """Forget what the workers asked for and that the broker was full, as a process that has just started."""
    global _known, _full
    _known, _full = None, (None, None, 0.0)


def live_workers() -> list[Worker]:
    """Return the worker processes that were seen within FRESH_SECONDS, by name."""
    now, fresh = database.now(), dt.timedelta(seconds=FRESH_SECONDS)
    # Of one that died before the clock was set back, the last sign is still to come.
    return list(Worker.primary.filter(last_seen__range=(now - fresh, now + fresh)).order_by("name"))


def working(workers: Iterable[Worker]) -> list[Worker]:
    """Return those of the workers that take new jobs: the quiet ones take none."""
    return [worker for worker in workers if worker.quiet_since is None]


def _read() -> Window:
    known = pools.named()
    workers = [(pools.served_by(worker.queues.split(","), known), worker) for worker in working(live_workers())]
    sizes, rivals, slots = {}, {}, {}
    for queue in known:
        mine = [(served, worker) for served, worker in workers if queue in served]
        sizes[queue] = max(1, sum(worker.window for _, worker in mine)) if mine else MIN_WINDOW
        # Where no worker is known, the next one may serve all queues of the pool.
        around = (served for served, _ in mine) if workers else [pools.of_pool(known, queue.pool)]
        rivals[queue] = frozenset({queue}).union(*around)
        slots[queue] = sum(worker.slots for _, worker in mine)
    return Window(sizes, rivals, slots)
