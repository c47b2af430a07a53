"""Why a child leaves: as an exit code for its supervisor, and as a sentence for people."""

from __future__ import annotations

import math
import time
from typing import Final

from django.db import Error

from django_jobs.exceptions import BrokerUnavailable, ForeignBroker, WorkersSuspended
from django_jobs.texts import say

#: How long a burst tries again what fails; somebody waits for its end.
BURST_SECONDS: Final = 3.0
#: How often the same failure is logged. It is tried again every second.
LOGGED_EVERY_SECONDS: Final = 60.0
# Codes that other programs, and handlers that call os._exit, are not likely to use.
FOREIGN_BROKER, BROKER_AWAY, DATABASE_AWAY, MISTAKE, SUSPENDED = 113, 114, 115, 116, 118
#: No failure: the child has run as many jobs, or holds as much memory, as it may, and is to be replaced.
RECYCLED: Final = 117
REASONS: Final = {
    FOREIGN_BROKER: say(f"The broker belongs to another installation. {ForeignBroker.advice}", code=ForeignBroker.code),
    BROKER_AWAY: say("Redis does not answer. What was not run waits for the next worker.", code=BrokerUnavailable.code),
    DATABASE_AWAY: say(
        "The database does not answer. What ran and could not be stored runs again.", code="database_unavailable"
    ),
    SUSPENDED: say(
        "RQ's workers are suspended (`rq resume`). What was not run waits for the next worker.",
        code=WorkersSuspended.code,
    ),
    MISTAKE: say("A worker process failed again and again; its log says at what.", code="worker_failed"),
}


class WorkerFailed(Exception):
    """This worker process cannot work and is to leave; ``code`` says why."""

    def __init__(self, code: int) -> None:
        super().__init__(REASONS[code])
        self.code = code


def code_of(error: Exception) -> int:
    """Return the exit code for what kept a worker from working."""
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


class FailureTracker:
    """Knows since when a worker has failed at its work. A burst leaves after a while, any other worker never."""

    def __init__(self, *, is_burst: bool) -> None:
        self._seconds = BURST_SECONDS if is_burst else math.inf
        self._since: float | None = None
        self._log_next: dict[type[Exception], float] = {}

    def succeeded(self) -> None:
        """Note that the work succeeded."""
        self._since = None
        self._log_next.clear()

    def is_to_be_logged(self, error: Exception) -> bool:
        """Return whether to log a failure: the first of its kind since a success, and then one a minute."""
        now = time.monotonic()
        if now < self._log_next.get(type(error), -math.inf):
            return False
        self._log_next[type(error)] = now + LOGGED_EVERY_SECONDS
        return True

    def failed(self, error: Exception) -> None:
        """Note a failure. Raises WorkerFailed when a burst has failed for too long.

        It does so at once where the broker is another installation's, and where workers are suspended.
        """
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if isinstance(error, ForeignBroker | WorkersSuspended) or now - self._since >= self._seconds:
            raise WorkerFailed(code_of(error)) from error
