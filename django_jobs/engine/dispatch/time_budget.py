"""How long a broker that is slow, not down, may hold up somebody who waits for an answer of his own."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: For so long after somebody's patience ended, the process leaves the broker to those who have time.
REST_SECONDS = 1.0

_rests_until: float = -math.inf


class Patience:
    """What a caller has left of the ``seconds`` that the broker may cost it; by default it has no end."""

    def __init__(self, seconds: float = math.inf) -> None:
        self._left = seconds

    def spend(self, call: Callable[[], T]) -> T:
        """Call the broker, and note how long that took."""
        global _rests_until  # noqa: PLW0603  (a process-wide note)
        started = time.monotonic()
        try:
            return call()
        finally:
            self._left -= time.monotonic() - started
            if self._left < 0:
                _rests_until = time.monotonic() + REST_SECONDS

    def is_over(self) -> bool:
        """Whether the caller is to go on without the broker."""
        return math.isfinite(self._left) and (self._left < 0 or time.monotonic() < _rests_until)
