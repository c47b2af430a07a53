"""The scheduler's part in schedules: it fires what is due, and keeps the history of firings short."""

from __future__ import annotations

import datetime as dt
import time
from collections import Counter
from typing import Final

from django_jobs.conf import jobs_settings
from django_jobs.engine import timing
from django_jobs.engine.schedules import firing
from django_jobs.engine.store import database
from django_jobs.engine.store.base_core import Moment
from django_jobs.models import Schedule, ScheduleFiring

#: So many of a schedule's newest firings are kept, and a few more until the next look at them.
KEPT: Final = 1_000
#: After so many firings of a schedule, those that are too many are deleted.
LOOKED_AT_EACH: Final = 100
#: Rows that one step deletes.
AT_ONCE: Final = 1_000


class FiringCleanup:
    """Keeps the history of firings short, while one scheduler runs."""

    def __init__(self) -> None:
        self._fired: Counter[int] = Counter()

    def note(self, schedule_pk: int) -> None:
        """Note that a schedule has fired."""
        self._fired[schedule_pk] += 1

    def prune(self) -> int:
        """Delete what is too old, and of each schedule that fired often what is too much; return how many rows."""
        count = _delete_old()
        for pk in [pk for pk, fired in self._fired.items() if fired >= LOOKED_AT_EACH]:
            count += _delete_surplus(pk)
            del self._fired[pk]
        return count


def _delete_old() -> int:
    """Delete firings that are older than RETENTION_DAYS: those with the lowest keys are the oldest."""
    horizon = database.now() - dt.timedelta(days=float(jobs_settings.RETENTION_DAYS))
    oldest = ScheduleFiring.primary.order_by("pk").values_list("pk", "fired_at")[:AT_ONCE]
    old = [pk for pk, fired_at in oldest if fired_at < horizon]
    return ScheduleFiring.primary.filter(pk__in=old).delete()[0] if old else 0


def _delete_surplus(schedule_pk: int) -> int:
    rows = ScheduleFiring.primary.filter(schedule_id=schedule_pk)
    first = rows.order_by("-pk").values_list("pk", flat=True)[KEPT : KEPT + 1].first()
    return 0 if first is None else rows.filter(pk__lte=first).delete()[0]


# The scheduler's part in schedules: it looks once a second for what is due within the next, and waits exactly.
#
# In a scheduler that runs in a loop this has a thread and a connection of its own, since a host's access policy, which
# is asked at each firing, may be slow and must not hold up other duties.


DUTY: Final = "fire_schedules"


class Clockwork:
    """Fires what is due, for one scheduler."""

    def __init__(self) -> None:
        self._history = FiringCleanup()
        self._next_upkeep = 0.0
        self._rests_until: dict[int, float] = {}

    def fire(self) -> int:
        """Fire what is due, each schedule once, and return how many did. At rest this is one statement."""
        return self.step()[0]

    def seconds_until_due(self) -> float:
        """Return in how many seconds a schedule is due that does not rest, at most CLOCKWORK_LOOK_SECONDS."""
        at_rest = firing.resting(self._rests_until)
        rows = Schedule.primary.filter(next_run_at__isnull=False).order_by("next_run_at")
        for pk, soonest, now in rows.values_list("pk", "next_run_at", Moment())[: len(at_rest) + 1]:
            if pk not in at_rest:
                return min(timing.CLOCKWORK_LOOK_SECONDS, float((soonest - now) / dt.timedelta(seconds=1)))
        return timing.CLOCKWORK_LOOK_SECONDS

    def step(self) -> tuple[int, float]:
        """Fire what is due, each schedule once, and return how many did, and in how many seconds to look again."""
        self.keep_up()
        until_due = self.seconds_until_due()
        if until_due > 0:
            return 0, until_due
        fired = firing.fire_round(rests_until=self._rests_until)
        for item in fired:
            self._history.note(item.schedule_id)
        # What is due and did not fire is held by another scheduler, or rests from now on because its firing broke.
        return len(fired), 0.0 if fired else timing.CLOCKWORK_LOOK_SECONDS

    def keep_up(self) -> None:
        """Once a minute, delete what is too much of the history."""
        if time.monotonic() < self._next_upkeep:
            return
        self._next_upkeep = time.monotonic() + timing.CLOCKWORK_UPKEEP_SECONDS
        self._history.prune()
