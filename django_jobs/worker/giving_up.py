"""When a worker does not go on: as exit codes by which a child tells its supervisor, and as sentences for people."""

from __future__ import annotations

import math
import time
from typing import Final

from django.db import Error

from django_jobs.exceptions import BrokerUnavailable, ForeignBroker, WorkersSuspended

#: For so long a burst tries again; whoever started it waits for its end.
BURST_PATIENCE_SECONDS: Final = 3.0
#: What goes on failing is tried every second, and told of so often.
TOLD_EVERY_SECONDS: Final = 60.0
# No codes that other programs, or handlers that call os._exit, are likely to use.
FOREIGN_BROKER, BROKER_AWAY, DATABASE_AWAY, MISTAKE, SUSPENDED = 113, 114, 115, 116, 118
#: Of a child that is no failure: it ran what it may, and another one is to take its place.
WORN_OUT: Final = 117
REASONS: Final = {
    FOREIGN_BROKER: "The broker belongs to another installation. Give each installation a Redis database of its own.",
    BROKER_AWAY: "Redis does not answer. What was not run waits for the next worker.",
    DATABASE_AWAY: "The database does not answer. What ran and could not be stored runs again.",
    SUSPENDED: "RQ's workers are suspended (`rq resume`). What was not run waits for the next worker.",
    MISTAKE: "A worker process failed again and again; its log says at what.",
}


class GaveUp(Exception):
    """This worker process is to leave; ``code`` says why."""

    def __init__(self, code: int) -> None:
        super().__init__(REASONS[code])
        self.code = code


def code_of(error: Exception) -> int:
    """The exit code for what kept a worker from working."""
    match error:
        case ForeignBroker():
            return FOREIGN_BROKER
        case WorkersSuspended():
            return SUSPENDED
        case BrokerUnavailable():
            return BROKER_AWAY
        case Error():
            return DATABASE_AWAY
        case _:
            return MISTAKE


class Patience:
    """How long it has not worked. A burst gives up after a while, any other worker never."""

    def __init__(self, *, is_burst: bool) -> None:
        self._seconds = BURST_PATIENCE_SECONDS if is_burst else math.inf
        self._since: float | None = None
        self._told_next: dict[type[Exception], float] = {}

    def works(self) -> None:
        """It worked."""
        self._since = None
        self._told_next.clear()

    def is_news(self, error: Exception) -> bool:
        """Whether to tell of it: of the first of its kind since it worked at once, of the others from time to time."""
        now = time.monotonic()
        if now < self._told_next.get(type(error), -math.inf):
            return False
        self._told_next[type(error)] = now + TOLD_EVERY_SECONDS
        return True

    def failed(self, error: Exception) -> None:
        """It did not. GaveUp when that has been so for too long, and at once where somebody decided it."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if isinstance(error, ForeignBroker | WorkersSuspended) or now - self._since >= self._seconds:
            raise GaveUp(code_of(error)) from error
