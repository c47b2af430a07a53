"""Threads that look at what lies outside of a process, always or on demand."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from django_jobs.engine import ports
from django_jobs.engine.insight.metrics import Gauges, read_gauges
from django_jobs.engine.store import database
from django_jobs.health.notes import HealthNotes, Outside

# Threads that ask what lies outside this process, one for each, so that whoever is asked about it need not wait.


logger = logging.getLogger("django_jobs")

#: Seconds between two questions.
LOOK_SECONDS: Final = 2.0
#: Seconds between two readings of the gauges, some statements each.
GAUGES_SECONDS: Final = 5.0


class Lookout(threading.Thread):
    """A thread that asks again and again, and notes whether there was an answer, as long as ``goes_on`` says so."""

    def __init__(
        self,
        name: str,
        ask: Callable[[], object],
        seen: Outside | None = None,
        seconds: float = 0.0,
        goes_on: Callable[[], bool] = lambda: True,
    ) -> None:
        super().__init__(name=f"lookout: {name}", daemon=True)
        self._ask = ask
        self._seen = seen
        self._seconds = seconds
        self._goes_on = goes_on
        self._quit = threading.Event()
        #: Set once it was asked for the first time, whatever came of it.
        self.has_looked = threading.Event()

    def stop(self) -> None:
        """End after the question that is open; does not wait for that."""
        self._quit.set()

    def look(self) -> None:
        """Ask once. Raises nothing."""
        try:
            database.mend_connections()
            self._ask()
        except Exception as error:  # noqa: BLE001  (whatever it is, the next turn asks again)
            if self._seen is None or self._seen.is_up:
                logger.debug("event=lookout_failed of=%r error=%r", self.name, error)
            if self._seen is not None:
                self._seen.failed(error)
            database.drop_connections()
        else:
            if self._seen is not None:
                self._seen.answered()
        self.has_looked.set()

    def run(self) -> None:
        """Ask until the end."""
        while self._goes_on() and not self._quit.is_set():
            self.look()
            self._quit.wait(self._seconds)
        self.has_looked.set()  # nobody is to wait for what has ended
        database.drop_connections()


class Lookouts:
    """All that a process looks out for; the gauges only where ``wants_gauges`` is given, and when it says so."""

    def __init__(
        self,
        notes: HealthNotes,
        wants_gauges: Callable[[], bool] | None = None,
        goes_on: Callable[[], bool] = lambda: True,
    ) -> None:
        """Make them. They end by themselves when ``goes_on`` says no."""
        self.notes = notes
        #: The gauges of the installation as they were read last; None where this process does not read them.
        self.gauges: Gauges | None = None
        self._wants_gauges = wants_gauges or (lambda: False)
        self._all = [
            Lookout("database", database.now, notes.database, LOOK_SECONDS, goes_on),
            Lookout("broker", lambda: ports.get_broker().installation(), notes.broker, LOOK_SECONDS, goes_on),
        ]
        if wants_gauges is not None:
            self._all.append(Lookout("gauges", self.read_gauges, None, GAUGES_SECONDS, goes_on))

    def read_gauges(self) -> None:
        """Read the gauges, or forget them."""
        self.gauges = read_gauges() if self._wants_gauges() else None

    def start(self) -> None:
        """Start the threads."""
        for lookout in self._all:
            lookout.start()

    def stop(self, seconds: float = 0.0) -> None:
        """Let them end, and wait for that for so long, of each."""
        for lookout in self._all:
            lookout.stop()
        for lookout in self._all:
            if lookout.is_alive():
                lookout.join(seconds)

    def wait(self, seconds: float) -> None:
        """Wait until each has looked once, for at most so long."""
        deadline = time.monotonic() + seconds
        for lookout in self._all:
            lookout.has_looked.wait(max(0.0, deadline - time.monotonic()))

    @property
    def are_alive(self) -> bool:
        """Return whether they run: they do not in a process that was forked from the one that started them."""
        return all(lookout.is_alive() for lookout in self._all)


# Lookouts of a process that is not ours, such as a web server's: they run while somebody asks for what they see.


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
