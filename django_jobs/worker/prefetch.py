"""How long jobs take, as moving means, and how many may be taken at once because of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

#: Claimed ahead is only what is expected to start within this many seconds.
AHEAD_SECONDS: Final = 0.05
#: The broker should hold what a slot will finish in this many seconds.
WINDOW_SECONDS: Final = 0.02
MAX_SET: Final = 150
#: What a job costs around its handler when it goes with many.
JOB_OVERHEAD_SECONDS: Final = 0.0001
_WEIGHT: Final = 0.2


class Pace:
    """Moving means of how long handlers run: of each job type, and of whatever ran."""

    def __init__(self) -> None:
        self._types: dict[str, float] = {}
        self._any: float | None = None

    def ran(self, job_type: str, seconds: float) -> None:
        """A handler of this type ran so long."""
        self._types[job_type] = _mean(self._types.get(job_type), seconds)
        self._any = _mean(self._any, seconds)

    def fits(self, job_types: Sequence[str]) -> int:
        """How many of the first of these jobs can be expected to start within AHEAD_SECONDS."""
        total = 0.0
        for count, job_type in enumerate(job_types):
            if count and total > AHEAD_SECONDS:
                return count
            total += self._types.get(job_type, math.inf)
        return len(job_types)

    def set_size(self) -> int:
        """How many tickets to ask for."""
        return self._within(AHEAD_SECONDS)

    def window(self, slots: int) -> int:
        """How many tickets the broker should hold for this process."""
        return slots * self._within(WINDOW_SECONDS)

    def _within(self, seconds: float) -> int:
        if self._any is None:
            return 1
        return max(1, min(MAX_SET, math.ceil(seconds / (self._any + JOB_OVERHEAD_SECONDS))))


def _mean(known: float | None, seconds: float) -> float:
    # A sudden slow run counts at once: what waits behind it must not be claimed on old hopes.
    if known is None or seconds > 10 * known:
        return seconds
    return known + _WEIGHT * (seconds - known)
