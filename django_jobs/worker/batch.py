"""The jobs that a child has claimed and not yet settled."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable

from django_jobs.engine.claimed_job import Claimed
from django_jobs.engine.execution.outcomes import Outcome


class Batch:
    """Jobs that wait for a slot, and outcomes that wait to be settled. Each is taken out by exactly one thread."""

    def __init__(self) -> None:
        self._waiting: deque[Claimed] = deque()
        self._ended: list[Outcome] = []
        self._lock = threading.Lock()
        self._busy_since: float | None = None

    def put(self, claimed: Iterable[Claimed]) -> None:
        """Add claimed jobs."""
        with self._lock:
            self._waiting.extend(claimed)

    def next(self) -> Claimed | None:
        """Take out the next job to start; None when there is none."""
        with self._lock:
            if not self._waiting:
                return None
            self._busy_since = time.monotonic()
            return self._waiting.popleft()

    def add_ended(self, outcome: Outcome) -> None:
        """Add how a job ended."""
        with self._lock:
            self._busy_since = None
            self._ended.append(outcome)

    def take_ended(self) -> list[Outcome]:
        """Take out all outcomes."""
        with self._lock:
            ended, self._ended = self._ended, []
            return ended

    def take_waiting(self) -> list[Claimed]:
        """Take out all jobs that have not started."""
        with self._lock:
            waiting = list(self._waiting)
            self._waiting.clear()
            return waiting

    def is_overdue(self, seconds: float) -> bool:
        """Return whether something waits behind a job that has run for so long."""
        since = self._busy_since
        if since is None or time.monotonic() - since < seconds:
            return False
        return bool(self._waiting or self._ended)

    def keys(self) -> set[tuple[int, int]]:
        """Return (job, attempt) of all that is in the batch."""
        with self._lock:
            return {(item.pk, item.attempt) for item in [*self._waiting, *(ended.claimed for ended in self._ended)]}

    def is_empty(self) -> bool:
        """Return whether nothing waits, runs or is to be settled."""
        with self._lock:
            return not self._waiting and not self._ended and self._busy_since is None
