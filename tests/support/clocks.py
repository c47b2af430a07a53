"""A clock that a test moves, to be put in the place of a module's ``time``."""

from __future__ import annotations

import time


class Clock:
    """A monotonic clock that stands still unless the test moves it. The time of day goes on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return time.time()
