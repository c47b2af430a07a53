"""How long jobs take, as moving means, and how many may be taken at once because of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

#: Claimed ahead is only what is expected to start within this many seconds.
AHEAD_SECONDS: Final = 0.05
#: The broker should hold what a slot will finish in this many seconds.
WINDOW_SECONDS: Final = 0.02
MAX_SET: Final = 200
_WEIGHT: Final = 0.2


class Pace:
    """Moving means of run times: of each job type, and of a job with all that is done around it."""

    def __init__(self) -> None:
        self._types: dict[str, float] = {}
        self._round: float | None = None

    def ran(self, job_type: str, seconds: float) -> None:
        known = self._types.get(job_type)
        # A sudden slow run counts at once: what waits behind it must not be claimed on old hopes.
        slower = known is None or seconds > 10 * known
        self._types[job_type] = seconds if slower or known is None else known + _WEIGHT * (seconds - known)

    def finished_round(self, jobs: int, seconds: float) -> None:
        """A round of claiming, running and settling ``jobs`` jobs took this long."""
        each = seconds / jobs
        self._round = each if self._round is None else self._round + _WEIGHT * (each - self._round)

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
        if self._round is None:
            return 1
        return max(1, min(MAX_SET, math.ceil(AHEAD_SECONDS / max(self._round, 1e-6))))

    def window(self, slots: int) -> int:
        """How many tickets the broker should hold for this process."""
        if self._round is None:
            return slots
        return slots * max(1, min(MAX_SET, math.ceil(WINDOW_SECONDS / max(self._round, 1e-6))))
