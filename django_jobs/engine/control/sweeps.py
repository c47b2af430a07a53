"""The duties that delete what is old. They may take long, and so have threads and connections of their own.

Many jobs end and grow old in every second, and a storage of files may be slow or hang: neither may delay the duties by
which jobs run. Only the leading scheduler does it. If two did it at once, each would leave out what the other holds.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from django_jobs.conf import jobs_settings
from django_jobs.engine.control import file_deletions, retention
from django_jobs.engine.control.pruning import Pruning
from django_jobs.engine.store import database, line_watch
from django_jobs.engine.submission import duplicates

logger = logging.getLogger("django_jobs")

#: Seconds that one step of a sweep may take.
STEP_SECONDS: Final = 0.25
#: Seconds until a file is tried again that the storage refused to delete.
FILES_PAUSE: Final = 10.0
#: Seconds to wait for a step that runs when the scheduler ends.
JOIN_SECONDS: Final = 2.0

Step = Callable[[], int]


class Sweeps:
    """The sweeps of one scheduler, each with its own pause once it has come to its end."""

    def __init__(self) -> None:
        self._pruner = Pruning()
        self._files = file_deletions.Sweep()
        self._next_pruning = self._next_files = 0.0

    def steps(self) -> dict[str, Step]:
        """Return a step of each sweep by its name; a step returns how much it deleted, 0 where nothing is left."""
        return {
            "prune": self._prune,
            "delete_files": self._delete_files,
            "forget_duplicates": lambda: duplicates.forget_expired(STEP_SECONDS),
        }

    def rest(self, name: str) -> float:
        """Return for how many seconds a sweep rests after each second of work."""
        return self._pruner.rest() if name == "prune" else 1.0

    def _prune(self) -> int:
        if time.monotonic() < self._next_pruning:
            return 0
        count = self._pruner.prune(STEP_SECONDS)
        if self._pruner.is_through:
            self._next_pruning = time.monotonic() + retention.PAUSE
        return count

    def _delete_files(self) -> int:
        if time.monotonic() < self._next_files:
            return 0
        count = self._files.step(STEP_SECONDS)
        if self._files.is_through:
            self._next_files = time.monotonic() + FILES_PAUSE
        return count


class SweepThreads:
    """A thread for each sweep. After each step it rests ``rest(name)`` times as long as that took.

    A rest as long as the step takes half of one connection.
    """

    def __init__(
        self,
        steps: dict[str, Step],
        leads: Callable[[], bool],
        report: Callable[[str, Step], int],
        rest: Callable[[str], float],
    ) -> None:
        self._leads = leads
        self._report = report
        self._rest = rest
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=item, name=item[0], daemon=True) for item in steps.items()
        ]

    def start(self) -> None:
        """Start to sweep, whenever ``leads`` says so."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End after the steps that run, and wait for those a moment: what hangs there ends with the process."""
        self._stop.set()
        until = time.monotonic() + JOIN_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _run(self, name: str, step: Step) -> None:
        while not self._stop.wait(self._turn(name, step)):
            pass
        database.drop_connections()

    def _turn(self, name: str, step: Step) -> float:
        """Do one step, and return for how many seconds to rest. Who does not lead holds no connection."""
        started = time.monotonic()
        if not self._leads():
            database.drop_connections()
            return float(jobs_settings.SCHEDULER_INTERVAL)
        database.mend_connections()
        with line_watch.waiting(line_watch.DUTY_SECONDS):
            count = self._report(name, step)
        took = time.monotonic() - started if count else 0.0
        return took * self._rest(name) or float(jobs_settings.SCHEDULER_INTERVAL)
