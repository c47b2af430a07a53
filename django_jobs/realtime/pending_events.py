"""What notifications told of since the database was last read, sorted by the topics that it belongs to."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from django_jobs.realtime.events import BATCH, CURRENT
from django_jobs.realtime.topics import Topic

#: By topic: the jobs by the ids of their new events.
Changes = dict[str, dict[int, int]]
#: By kind of event (``events.CURRENT``): the jobs, or batches, of which it tells something new.
Jobs = dict[str, set[int]]
#: Seconds between two events of one batch. The engine keeps to that as far as it can, for all processes together.
BATCH_PAUSE: Final = 0.5


class PendingEvents:
    """Ids of events to be read. ``is_filled`` is set while there are some."""

    def __init__(self) -> None:
        self.is_filled = asyncio.Event()
        self._changes: Changes = defaultdict(dict)
        self._jobs: Jobs = defaultdict(set)
        #: When the batches of the last moments were taken, on the monotonic clock.
        self._taken: dict[int, float] = {}

    def add(self, notification: Mapping[str, Any], topics_of: Callable[[str], Iterable[Topic]]) -> None:
        """Add what a notification tells of. ``topics_of`` returns the topics of an organization's key."""
        for key, changes in notification.get("changes", {}).items():
            for topic in topics_of(key):
                self._changes[topic.key].update((log_id, job) for log_id, job in changes if topic.includes(job))
        for kind in CURRENT:
            for key, jobs in notification.get(kind, {}).items():
                for topic in topics_of(key):
                    self._jobs[kind].update(job for job in jobs if topic.wants(kind, job))
        if self._changes or self._jobs:
            self.is_filled.set()

    def add_batch(self, pk: int) -> None:
        """Have a batch be read anew, for those who may have missed something of it."""
        self._jobs[BATCH].add(pk)
        self.is_filled.set()

    def take(self) -> tuple[Changes, Jobs]:
        """Return what is pending, and forget it. A batch that was taken just now stays until its pause is over."""
        self.is_filled.clear()
        changes, self._changes = self._changes, defaultdict(dict)
        jobs, self._jobs = self._jobs, defaultdict(set)
        if BATCH in jobs:
            self._hold_back(jobs)
        return changes, jobs

    def _hold_back(self, jobs: Jobs) -> None:
        now = time.monotonic()
        self._taken = {pk: taken for pk, taken in self._taken.items() if now - taken < BATCH_PAUSE}
        early = jobs[BATCH] & self._taken.keys()
        due = jobs.pop(BATCH) - early
        self._taken.update(dict.fromkeys(due, now))
        if due:
            jobs[BATCH] = due
        if early:
            self._jobs[BATCH] = early
            wait = min(self._taken[pk] for pk in early) + BATCH_PAUSE - now
            asyncio.get_running_loop().call_later(wait, self.is_filled.set)
