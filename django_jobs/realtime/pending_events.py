"""What rang since it was last read: bells of the channel layer, sorted by the lines that hear them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django_jobs.realtime.topics import Line


class Bells:
    """``rung`` is set while there is something to read."""

    def __init__(self) -> None:
        self.rung = asyncio.Event()
        self._changes: dict[str, dict[int, int]] = defaultdict(dict)
        self._progress: dict[str, set[int]] = defaultdict(set)

    def add(self, bell: Mapping[str, Any], lines_of: Callable[[str], Iterable[Line]]) -> None:
        """Note one bell; ``lines_of`` says who hears what of an organization."""
        for key, changes in bell.get("changes", {}).items():
            for line in lines_of(key):
                self._changes[line.key].update((log_id, job) for log_id, job in changes if line.hears_of(job))
        for key, jobs in bell.get("progress", {}).items():
            for line in lines_of(key):
                self._progress[line.key].update(job for job in jobs if line.hears_of(job))
        if self._changes or self._progress:
            self.rung.set()

    def take(self) -> tuple[dict[str, dict[int, int]], dict[str, set[int]]]:
        """By line: the jobs by the ids of their events, and the jobs whose progress is new. It is forgotten here."""
        self.rung.clear()
        changes, self._changes = self._changes, defaultdict(dict)
        progress, self._progress = self._progress, defaultdict(set)
        return changes, progress
