"""The leading scheduler's part in rates of starts and breakers: a pass exactly when one may start more.

In a scheduler that runs in a loop this has a thread of its own; a single tick dispatches anyway. Where no type has a
rate or a breaker, it asks for one of those once in some seconds, and does nothing else.
"""

from __future__ import annotations

import datetime as dt
import math
import time
from collections.abc import Callable
from typing import Final

from django.db.models import Q

from django_jobs.engine.dispatch import dispatch_lock, dispatcher, flow_times
from django_jobs.engine.duty_threads import DutyThread
from django_jobs.engine.store.base.transactions import Moment
from django_jobs.models import EngineLease, JobType

#: Seconds between two looks at what the passes of other processes wrote.
LOOK: Final = 0.1
#: At most one pass is made in so many seconds.
PASS_SECONDS: Final = 0.02
#: How often to ask whether any type has a rate or a breaker, in seconds.
USE_SECONDS: Final = 3.0
DUTY: Final = "start_waiting"

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_IN_USE: Final = Q(max_starts__isnull=False) | Q(max_starts_per_key__isnull=False) | Q(breaker_failures__gt=0)


class FlowClock:
    """Makes passes when they may start more, for one scheduler."""

    def __init__(self) -> None:
        self._is_used = False
        self._asks_at = -math.inf
        self._passes_at = -math.inf
        #: The moment in the row for which a pass was made: it stays there where that had no room, or nothing waited.
        self._done: float | None = None

    def step(self) -> tuple[int, float]:
        """Make a pass if one may start more, and return how many jobs went, and in how many seconds to look again."""
        if not self._may_be_used():
            return 0, USE_SECONDS
        written, until_written = self._written()
        wait = max(min(until_written, flow_times.seconds_until_next()), self._passes_at - time.monotonic())
        if wait > 0:
            return 0, min(wait, LOOK)
        if until_written <= 0:
            self._done = written
        # Before the pass, which notes the next moment.
        flow_times.forget()
        self._passes_at = time.monotonic() + PASS_SECONDS
        return dispatcher.dispatch_without_budget(), PASS_SECONDS

    def _written(self) -> tuple[float | None, float]:
        """Return the moment that the last pass of any process wrote, and in how many seconds that is.

        That is infinity where there is none, or a pass was made for it. Both are told by the database's clock: a pass
        that comes too early by it would start nothing.
        """
        rows = EngineLease.primary.filter(pk=dispatch_lock.LEASE)
        found = rows.values_list(f"state__{flow_times.KEY}", Moment()).first()
        # Somebody may have edited it.
        if found is None or not isinstance(found[0], int | float) or found[0] == self._done:
            return None, math.inf
        return found[0], found[0] - (found[1] - _EPOCH).total_seconds()

    def _may_be_used(self) -> bool:
        """Return whether any type has a rate or a breaker, as it was lately; a noted moment is of one that has."""
        now = time.monotonic()
        if now >= self._asks_at:
            self._asks_at = now + USE_SECONDS
            self._is_used = JobType.primary.filter(_IN_USE).exists()
        return self._is_used or math.isfinite(flow_times.seconds_until_next())


class FlowThread(DutyThread):
    """A thread that makes passes whenever ``leads`` says so, and looks at once when this process notes a moment."""

    def __init__(self, leads: Callable[[], bool], report: Callable[[str, Callable[[], int]], int]) -> None:
        super().__init__(DUTY, FlowClock().step, leads, report)

    def start(self) -> None:
        """Start to make passes."""
        flow_times.listen(self.wake)
        super().start()

    def stop(self) -> None:
        """End after the pass that goes on."""
        flow_times.listen(None)
        super().stop()
