"""How long a slow broker may hold up a caller who waits for an answer of their own, such as a web request."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

#: After a budget was spent, callers with a budget leave the broker alone for so many seconds in this process.
REST_SECONDS: Final = 1.0

_rests_until: float = -math.inf


class TimeBudget:
    """The ``seconds`` that calls of the broker may take together; without a number they may take as long as they do."""

    def __init__(self, seconds: float = math.inf) -> None:
        self._left = seconds
        #: Whether there is a limit at all.
        self.is_limited = math.isfinite(seconds)

    def spend(self, call: Callable[[], T]) -> T:
        """Make a call of the broker, and return what it returns; the time that it takes is taken off the budget.

        A call is not interrupted: the last one may take longer than what is left.
        """
        global _rests_until  # noqa: PLW0603  (a process-wide note)
        started = time.monotonic()
        try:
            return call()
        finally:
            self._left -= time.monotonic() - started
            if self._left < 0:
                _rests_until = time.monotonic() + REST_SECONDS

    def is_spent(self) -> bool:
        """Return whether the caller must go on without the broker: the budget, or one before it, was spent."""
        return self.is_limited and (self._left < 0 or time.monotonic() < _rests_until)
