"""How many tickets the broker should hold: what the live workers ask for, each for the queues that it serves."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from django_jobs.conf import jobs_settings
from django_jobs.engine.store import database
from django_jobs.models import Worker
from django_jobs.statuses import Priority

#: How many tickets of a priority the broker should hold while no worker is known that serves its queue.
MIN_WINDOW: Final = 8
CACHE_SECONDS: Final = 0.25
#: A worker process that gave no sign for so long counts as gone.
FRESH_SECONDS: Final = 30
#: How long a submission relies on the broker having had no room. Less than the pause of a worker's refiller.
FULL_SECONDS: Final = 0.004


@dataclass(frozen=True, slots=True)
class Window:
    """How many tickets the broker should hold, by priority.

    ``sizes`` are what the known workers of a priority's queue want within reach together. They are no larger, since a
    ticket at the broker keeps its place: more urgent jobs, and other tenants', would wait behind it. Where no such
    worker is known, a size is MIN_WINDOW. ``rivals`` are the priorities that these workers serve as well.
    """

    sizes: Mapping[int, int]
    rivals: Mapping[int, frozenset[int]]

    @property
    def most_at_once(self) -> int:
        """The most jobs that one pass of the dispatcher may queue."""
        return sum(self.sizes.values())

    def taken(self, priority: int, tickets: Mapping[int, int]) -> int:
        """Return how much of it is taken by ``tickets``, counted by priority: by those its workers take no later."""
        rivals = self.rivals[priority]
        return sum(count for other, count in tickets.items() if other >= priority and other in rivals)

    def room(self, priority: int, tickets: Mapping[int, int]) -> int:
        """Return how many more tickets of a priority it has room for; negative if it holds too many."""
        return self.sizes[priority] - self.taken(priority, tickets)

    def has_room(self, priority: int, share: float, tickets: Mapping[int, int]) -> bool:
        """Return whether less than this share of it is taken, for this priority or for a lower one.

        The lower ones count because other workers may serve them.
        """
        below = [other for other in self.sizes if other <= priority]
        return any(self.taken(other, tickets) < max(1.0, share * self.sizes[other]) for other in below)


_known: tuple[float, Window] | None = None


def read_window(seconds: float = CACHE_SECONDS) -> Window:
    """Return what the workers ask for, as it was within so many seconds."""
    global _known  # noqa: PLW0603  (a process-wide cache)
    if _known is None or time.monotonic() >= _known[0] + seconds:
        _known = (time.monotonic(), _read())
    return _known[1]


_full: tuple[object, int, float] = (None, 0, 0.0)


def was_just_full(broker: object, priority: int) -> bool:
    """Return whether the broker had no room for this priority within FULL_SECONDS.

    Then its tickets have still to be taken. The worker that takes the last one looks at the backlog again after a
    longer pause than that, so a new job is not overlooked.
    """
    return _full[0] is broker and _full[1] == priority and time.monotonic() < _full[2]


def note_full(broker: object, priority: int) -> None:
    """Note that the broker has no room for this priority."""
    global _full  # noqa: PLW0603  (a process-wide note)
    _full = (broker, priority, time.monotonic() + FULL_SECONDS)


def forget() -> None:
    """Forget what the workers asked for and that the broker was full, as a process that has just started."""
    global _known, _full
    _known, _full = None, (None, 0, 0.0)


def live_workers() -> list[Worker]:
    """Return the worker processes that were seen within FRESH_SECONDS, by name."""
    now, fresh = database.now(), dt.timedelta(seconds=FRESH_SECONDS)
    # Of one that died before the clock was set back, the last sign is still to come.
    return list(Worker.primary.filter(last_seen__range=(now - fresh, now + fresh)).order_by("name"))


def served_by(queues: Collection[str]) -> frozenset[int]:
    """Return the priorities whose tickets go to these queues."""
    return frozenset(int(item) for item in Priority if str(jobs_settings.QUEUES[item.label]) in queues)


def _read() -> Window:
    workers = [(served_by(worker.queues.split(",")), worker.window) for worker in live_workers()]
    sizes, rivals, every = {}, {}, frozenset(map(int, Priority))
    for priority in every:
        mine = [(served, window) for served, window in workers if priority in served]
        sizes[priority] = max(1, sum(window for _, window in mine)) if mine else MIN_WINDOW
        # Where no worker is known, the next one may serve them all.
        rivals[priority] = frozenset({priority}).union(*(served for served, _ in mine)) if workers else every
    return Window(sizes, rivals)
