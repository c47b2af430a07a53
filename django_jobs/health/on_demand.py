"""Lookouts of a process that is not ours, such as a web server's: they run while somebody asks for what they see."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from django_jobs.health.lookouts import Lookouts
from django_jobs.health.notes import HealthNotes

#: Who asks first waits for so long at most.
FIRST_SECONDS: Final = 0.8
#: When nobody has asked for so long, the threads end, and their connections.
IDLE_SECONDS: Final = 150.0


class LookoutsOnDemand:
    """Starts lookouts when somebody asks, once in each process, and ends them when nobody does any more."""

    def __init__(self, *, reads_gauges: bool) -> None:
        self._reads_gauges = reads_gauges
        self._starting = threading.Lock()
        self._lookouts: Lookouts | None = None
        self._asked = 0.0

    def ask(self) -> Lookouts:
        """Return them as they are now. Only who asks first waits, a moment."""
        self._asked = time.monotonic()
        with self._starting:
            found = self._lookouts
            if found is None or not found.are_alive:
                if found is not None:
                    found.stop()  # one of them may not have ended yet, and would go on now that somebody asks
                found = self._lookouts = self._start()
        found.wait(FIRST_SECONDS)
        return found

    @property
    def has_begun(self) -> bool:
        """Return whether somebody has asked, so that it looks out."""
        return self._lookouts is not None

    def stop(self, seconds: float = 0.0) -> None:
        """End them, and wait for that for so long."""
        if self._lookouts is not None:
            self._lookouts.stop(seconds)
        self._lookouts = None

    def _start(self) -> Lookouts:
        notes = HealthNotes()
        notes.follow(time.monotonic)  # whoever can answer does its rounds
        wants_gauges: Callable[[], bool] | None = (lambda: True) if self._reads_gauges else None
        lookouts = Lookouts(notes, wants_gauges, goes_on=self._is_wanted)
        lookouts.start()
        return lookouts

    def _is_wanted(self) -> bool:
        return time.monotonic() - self._asked < IDLE_SECONDS
