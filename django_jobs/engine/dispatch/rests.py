"""Leaving out for a while what has become slow, where there is another way."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

#: How many times as long as it took something slow is left out.
REST_FACTOR: Final = 20
#: For how long that is at most: what was slow may have waited for somebody.
MAX_REST_SECONDS: Final = 30.0


class Rest:
    """Times one kind of statement; where it took longer than ``slow_seconds``, it rests for most of the time."""

    def __init__(self, slow_seconds: float) -> None:
        self.slow_seconds = slow_seconds
        self._until = -math.inf

    def lasts(self) -> bool:
        """Return whether the statement should be left out now."""
        return time.monotonic() < self._until

    def after(self, ask: Callable[[], T]) -> T:
        """Return what the statement returns, and rest afterwards if it was slow, also if it failed."""
        began = time.monotonic()
        try:
            return ask()
        finally:
            ended = time.monotonic()
            if ended - began > self.slow_seconds:
                self._until = ended + min(REST_FACTOR * (ended - began), MAX_REST_SECONDS)

    def end(self) -> None:
        """End the rest."""
        self._until = -math.inf
