"""How many jobs a child takes at once, by how long their handlers ran until now.

Run times are exponentially weighted moving means: each new run weighs a fifth, the mean of all earlier ones the rest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

#: A child claims only what it expects to start within so many seconds.
AHEAD_SECONDS: Final = 0.05
#: The broker should hold what a slot finishes in so many seconds.
WINDOW_SECONDS: Final = 0.02
#: The most tickets that are taken at once.
MAX_SET: Final = 150
#: What claiming and settling one of many jobs takes, in seconds.
JOB_OVERHEAD_SECONDS: Final = 0.0001
#: The weight of the newest run.
_WEIGHT: Final = 0.2
#: A run that takes so many times the mean replaces it.
_SUDDEN: Final = 10


class PrefetchEstimator:
    """Means of how long handlers run, in seconds: one for each job type, and one for all of them."""

    def __init__(self) -> None:
        self._types: dict[str, float] = {}
        self._any: float | None = None

    def ran(self, job_type: str, seconds: float) -> None:
        """Note that a handler of this type ran so long."""
        self._types[job_type] = _mean(self._types.get(job_type), seconds)
        self._any = _mean(self._any, seconds)

    def fits(self, job_types: Sequence[str]) -> int:
        """Return how many of these jobs, the first ones first, should start within AHEAD_SECONDS."""
        total = 0.0
        for count, job_type in enumerate(job_types):
            if count and total > AHEAD_SECONDS:
                return count
            total += self._types.get(job_type, math.inf)
        return len(job_types)

    def set_size(self) -> int:
        """Return how many tickets to take at once."""
        return self._within(AHEAD_SECONDS)

    def window(self, slots: int) -> int:
        """Return how many tickets the broker should hold for this process."""
        return slots * self._within(WINDOW_SECONDS)

    def _within(self, seconds: float) -> int:
        if self._any is None:
            return 1
        return max(1, min(MAX_SET, math.ceil(seconds / (self._any + JOB_OVERHEAD_SECONDS))))


def _mean(known: float | None, seconds: float) -> float:
    # A sudden slow run counts in full: nothing is to be claimed behind the next one.
    if known is None or seconds > _SUDDEN * known:
        return seconds
    return known + _WEIGHT * (seconds - known)
