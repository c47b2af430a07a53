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


@dataclass(frozen=True, slots=True)
class Window:
    """By priority: how many tickets the workers of its queue want within reach, at least MIN_WINDOW; and its rivals,
    the priorities that these workers serve too.
    """

    sizes: Mapping[int, int]
    rivals: Mapping[int, frozenset[int]]

    def taken(self, priority: int, tickets: Mapping[int, int]) -> int:
        """What tickets, counted by priority, take up of it: those that its workers would take no later."""
        rivals = self.rivals[priority]
        return sum(count for other, count in tickets.items() if other >= priority and other in rivals)

    def room(self, priority: int, tickets: Mapping[int, int]) -> int:
        return self.sizes[priority] - self.taken(priority, tickets)


_known: tuple[float, Window] | None = None


def read_window() -> Window:
    """As the workers last said, a quarter of a second ago at most."""
    global _known  # noqa: PLW0603  (a process-wide cache)
    if _known is None or time.monotonic() >= _known[0]:
        _known = (time.monotonic() + CACHE_SECONDS, _read())
    return _known[1]


def forget() -> None:
    """Ask anew the next time."""
    global _known  # noqa: PLW0603
    _known = None


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
        # Where nobody is known, whoever comes may serve them all.
        rivals[priority] = frozenset({priority}).union(*(served for served, _ in mine)) if workers else frozenset(names)
    return Window(sizes, rivals)
