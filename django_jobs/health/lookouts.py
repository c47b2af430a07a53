"""Asking what lies outside of a process, database and broker, and noting whether there was an answer."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from django_jobs.engine import ports
from django_jobs.engine.insight.metrics import Gauges, read_gauges
from django_jobs.engine.store import database
from django_jobs.health.notes import HealthNotes, Outside

logger = logging.getLogger("django_jobs")

#: Seconds between two questions.
LOOK_SECONDS: Final = 2.0
#: Seconds between two readings of the gauges, some statements each.
GAUGES_SECONDS: Final = 5.0


class Lookouts:
    """All that a process looks out for; the gauges only while ``wants_gauges`` says so.

    Threads of a worker or scheduler ask again and again, so that no probe waits. A web server asks when it is asked.
    """

    def __init__(self, notes: HealthNotes, wants_gauges: Callable[[], bool]) -> None:
        self.notes = notes
        #: The gauges of the installation as they were read last; None where this process does not read them.
        self.gauges: Gauges | None = None
        self._wants_gauges = wants_gauges
        self._quit = threading.Event()

    def look_at_database(self) -> None:
        """Ask the database once. Raises nothing."""
        self._ask("database", database.now, self.notes.database)

    def look_at_broker(self) -> None:
        """Ask the broker once. Raises nothing."""
        self._ask("broker", lambda: ports.get_broker().installation(), self.notes.broker)

    def read_gauges(self) -> None:
        """Read the gauges, or forget them. Raises nothing."""

        def read() -> None:
            self.gauges = read_gauges() if self._wants_gauges() else None

        self._ask("gauges", read)

    def _ask(self, name: str, question: Callable[[], object], seen: Outside | None = None) -> None:
        try:
            database.mend_connections()
            question()
        except Exception as error:  # noqa: BLE001  (whatever it is, the next turn asks again)
            if seen is None or seen.is_up:
                logger.debug("event=lookout_failed of=%r error=%r", name, error)
            if seen is not None:
                seen.failed(error)
            database.drop_connections()
        else:
            if seen is not None:
                seen.answered()

    def start(self) -> None:
        """Ask from now on, in a thread for each, so that what does not answer delays no other."""
        turns = (
            (self.look_at_database, LOOK_SECONDS),
            (self.look_at_broker, LOOK_SECONDS),
            (self.read_gauges, GAUGES_SECONDS),
        )
        for look, seconds in turns:
            name = f"lookout: {look.__name__}"
            threading.Thread(target=self._repeat, args=[look, seconds], name=name, daemon=True).start()

    def stop(self) -> None:
        """Ask no more; does not wait for the questions that are open."""
        self._quit.set()

    def _repeat(self, look: Callable[[], None], seconds: float) -> None:
        while not self._quit.is_set():
            look()
            self._quit.wait(seconds)
        database.drop_connections()
