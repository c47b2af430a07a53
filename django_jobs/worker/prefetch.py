"""How many jobs a child takes at once, by how long their handlers ran until now.

Run times are exponentially weighted moving means: each new run weighs a fifth, the mean of all earlier ones the rest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from django_jobs.worker.child_board import MAX_SET

#: A child claims only what it expects to start within so many seconds: for so long others wait behind that.
AHEAD_SECONDS: Final = 0.03
#: It claims for this long where it starts so many meanwhile: then claims cost more than waits.
LARGE_AHEAD_SECONDS: Final = 0.05
LARGE_SET: Final = 100
#: The broker should hold what a slot finishes in so many seconds, and while a refill takes longer: in that time.
WINDOW_SECONDS: Final = 0.02
MAX_WINDOW_SECONDS: Final = 0.25
#: Of so many job types others are told that they are quick: a host may have thousands.
MOST_TYPES: Final = 100
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
        self._refill: float | None = None

    def ran(self, job_type: str, seconds: float) -> None:
        """Note that a handler of this type ran so long."""
        self._types[job_type] = _mean(self._types.pop(job_type, None), seconds)  # the latest is the last
        self._any = _mean(self._any, seconds)

    def refilled(self, seconds: float) -> None:
        """Note that new tickets came so long after they were asked for: slots would else be idle meanwhile."""
        self._refill = _mean(self._refill, seconds)

    def fits(self, job_types: Sequence[str], free: int = 1, slots: int = 1) -> int:
        """Return how many of these jobs, the first ones first, should start soon.

        They run in so many ``slots``, of which some are ``free`` now.
        """
        total, most = 0.0, self._ahead_seconds(slots) * slots
        for count, job_type in enumerate(job_types):
            if count >= free and total > most:
                return count
            total += self._types.get(job_type, math.inf)
        return len(job_types)

    def wait_too_long(self, job_types: Sequence[str], slots: int = 1) -> bool:
        """Return whether of these jobs, which were claimed ahead, fewer than half should start soon after all."""
        return 2 * self.fits(job_types, slots=slots) < len(job_types)

    def set_size(self) -> int:
        """Return how many tickets to take at once."""
        return 1 if self._any is None else _within(self._ahead_seconds(1), self._any)

    def ahead(self, slots: int) -> int:
        """Return how many jobs so many busy slots should start soon."""
        if self._any is None:
            return 0
        return int(self._rate(slots) * self._ahead_seconds(slots))

    def _ahead_seconds(self, slots: int) -> float:
        """Return within how many seconds so many busy slots should start what is claimed."""
        return LARGE_AHEAD_SECONDS if self._rate(slots) * LARGE_AHEAD_SECONDS >= LARGE_SET else AHEAD_SECONDS

    def _rate(self, slots: int) -> float:
        """Return how many jobs so many busy slots run in a second."""
        return 0.0 if self._any is None else slots / (self._any + JOB_OVERHEAD_SECONDS)

    def quick_types(self, slots: int) -> dict[str, int]:
        """Return how many tickets the broker should hold for so many slots, by the job types that ran last.

        A type that is not named has one a slot. Each run takes longer than the window, or nothing is known of it.
        """
        seconds = min(max(WINDOW_SECONDS, self._refill or 0.0), MAX_WINDOW_SECONDS)
        latest = list(self._types.items())[-MOST_TYPES:]
        return {name: slots * count for name, mean in latest if (count := _within(seconds, mean)) > 1}


def _within(seconds: float, mean: float) -> int:
    return max(1, min(MAX_SET, math.ceil(seconds / (mean + JOB_OVERHEAD_SECONDS))))


def _mean(known: float | None, seconds: float) -> float:
    # A sudden slow run counts in full: nothing is to be claimed behind the next one.
    if known is None or seconds > _SUDDEN * known:
        return seconds
    return known + _WEIGHT * (seconds - known)
