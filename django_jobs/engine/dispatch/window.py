"""How many tickets the broker should hold: what the live workers ask for, each for the queues that it serves."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from django_jobs.conf import jobs_settings
from django_jobs.engine.store import database
from django_jobs.models import Worker
from django_jobs.statuses import Priority

MIN_WINDOW: Final = 8
CACHE_SECONDS: Final = 0.25
STALE_SECONDS: Final = 30
#: How long a submission relies on the broker having had no room. Less than the pause of a worker's refiller.
FULL_SECONDS: Final = 0.004


@dataclass(frozen=True, slots=True)
class Window:
    """How many tickets the broker should hold, by priority.

    ``sizes`` are what the workers of a priority's queue want within reach together, at least MIN_WINDOW. ``rivals``
    are the priorities that these workers serve as well.
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


_known: tuple[float, Window] | None = None


def read_window() -> Window:
    """Return what the workers ask for, as it was within CACHE_SECONDS."""
    global _known  # noqa: PLW0603  (a process-wide cache)
    if _known is None or time.monotonic() >= _known[0]:
        _known = (time.monotonic() + CACHE_SECONDS, _read())
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


def _read() -> Window:
    since = database.now() - dt.timedelta(seconds=STALE_SECONDS)
    rows = Worker.primary.filter(last_seen__gte=since).values_list("queues", "window")
    names = {int(priority): str(jobs_settings.QUEUES[priority.label]) for priority in Priority}
    workers = [
        (frozenset(priority for priority, name in names.items() if name in queues.split(",")), window)
        for queues, window in rows
    ]
    sizes, rivals = {}, {}
    for priority in names:
        mine = [(served, window) for served, window in workers if priority in served]
        sizes[priority] = max(sum(window for _, window in mine), MIN_WINDOW)
        # Where no worker is known, the next one may serve them all.
        rivals[priority] = frozenset({priority}).union(*(served for served, _ in mine)) if workers else frozenset(names)
    return Window(sizes, rivals)
