"""The scheduler's part in schedules: it looks once a second for what is due within the next, and waits exactly.

In a scheduler that runs in a loop this has a thread and a connection of its own, since a host's access policy, which is
asked at each firing, may be slow and must not hold up other duties.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Callable
from typing import Final

from django_jobs.engine.duty_threads import DutyThread
from django_jobs.engine.schedules import firing, upkeep
from django_jobs.engine.store.base.transactions import Moment
from django_jobs.models import Schedule

logger = logging.getLogger("django_jobs")

#: Seconds between two looks, where nothing is due in between.
LOOK: Final = 1.0
#: Seconds between two times of upkeep.
UPKEEP_PAUSE: Final = 60.0
#: Seconds between two times at which the next moments are compared with the rules.
CORRECTION_PAUSE: Final = 3_600.0
DUTY: Final = "fire_schedules"


class Clockwork:
    """Fires what is due, for one scheduler."""

    def __init__(self) -> None:
        self._history = upkeep.History()
        self._next_upkeep = 0.0
        self._next_correction = 0.0
        self._rests_until: dict[int, float] = {}

    def fire(self) -> int:
        """Fire what is due, each schedule once, and return how many did. At rest this is one statement."""
        self.keep_up()
        return self.fire_round() if self.seconds_until_due() <= 0 else 0

    def fire_round(self) -> int:
        """Fire what is due, each schedule once, and return how many did."""
        fired = firing.fire_round(rests_until=self._rests_until)
        for item in fired:
            self._history.note(item.schedule_id)
        return len(fired)

    def seconds_until_due(self) -> float:
        """Return in how many seconds something is due that does not rest: at most LOOK, and 0 or less for what is."""
        at_rest = firing.resting(self._rests_until)
        rows = Schedule.primary.filter(next_run_at__isnull=False).order_by("next_run_at")
        for pk, soonest, now in rows.values_list("pk", "next_run_at", Moment())[: len(at_rest) + 1]:
            if pk not in at_rest:
                return min(LOOK, float((soonest - now) / dt.timedelta(seconds=1)))
        return LOOK

    def step(self) -> tuple[int, float]:
        """Fire what is due, each schedule once, and return how many did, and in how many seconds to look again."""
        self.keep_up()
        until_due = self.seconds_until_due()
        if until_due > 0:
            return 0, until_due
        count = self.fire_round()
        # What is due and did not fire is held by another scheduler, or rests from now on because its firing broke.
        return count, 0.0 if count else LOOK

    def keep_up(self) -> None:
        """Once a minute, delete what is too much of the history, and look for marks of a clock that was wrong."""
        if time.monotonic() < self._next_upkeep:
            return
        self._next_upkeep = time.monotonic() + UPKEEP_PAUSE
        anew = upkeep.start_anew()
        if time.monotonic() >= self._next_correction:
            self._next_correction = time.monotonic() + CORRECTION_PAUSE
            anew += upkeep.correct_next_runs()
        if anew:
            logger.warning("event=schedules_start_anew count=%s their moments were those of a wrong clock", anew)
        self._history.prune()


class ClockworkThread(DutyThread):
    """A thread that fires whenever ``leads`` says so."""

    def __init__(
        self, clockwork: Clockwork, leads: Callable[[], bool], report: Callable[[str, Callable[[], int]], int]
    ) -> None:
        super().__init__(DUTY, clockwork.step, leads, report)
