"""What notifications told of since the database was last read, sorted by the topics that it belongs to."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django_jobs.realtime.events import CURRENT
from django_jobs.realtime.topics import Topic

#: By topic: the jobs by the ids of their new events.
Changes = dict[str, dict[int, int]]
#: By kind of event (``events.CURRENT``): the jobs of which it tells something new.
Jobs = dict[str, set[int]]


class PendingEvents:
    """Ids of events to be read. ``is_filled`` is set while there are some."""

    def __init__(self) -> None:
        self.is_filled = asyncio.Event()
        self._changes: Changes = defaultdict(dict)
        self._jobs: Jobs = defaultdict(set)

    def add(self, notification: Mapping[str, Any], topics_of: Callable[[str], Iterable[Topic]]) -> None:
        """Add what a notification tells of. ``topics_of`` returns the topics of an organization's key."""
        for key, changes in notification.get("changes", {}).items():
            for topic in topics_of(key):
                self._changes[topic.key].update((log_id, job) for log_id, job in changes if topic.includes(job))
        for kind in CURRENT:
            for key, jobs in notification.get(kind, {}).items():
                for topic in topics_of(key):
                    self._jobs[kind].update(job for job in jobs if topic.includes(job))
        if self._changes or self._jobs:
            self.is_filled.set()

    def take(self) -> tuple[Changes, Jobs]:
        """Return what is pending, and forget it."""
        self.is_filled.clear()
        changes, self._changes = self._changes, defaultdict(dict)
        jobs, self._jobs = self._jobs, defaultdict(set)
        return changes, jobs
