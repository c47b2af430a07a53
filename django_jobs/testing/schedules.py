"""Move through time: fire schedules, here and now, as if their moments had come."""

from __future__ import annotations

import datetime as dt
from typing import Final

from django.utils import timezone

from django_jobs.engine.ports import broker_in_place
from django_jobs.engine.schedules import firing
from django_jobs.models import Schedule, ScheduleFiring
from django_jobs.testing.memory_broker import MemoryBroker
from django_jobs.testing.transactions import Commits
from django_jobs.texts import say

#: More firings than these would go on for ever.
MAX_FIRINGS: Final = 10_000


def fire_schedules(until: dt.datetime) -> list[ScheduleFiring]:
    """Fire all schedules for each of their moments up to ``until``, in the order of the moments; return the firings.

    Each fires as if it was on time. No job runs: :func:`run_jobs` runs them, and since ``overlap`` holds as ever, a
    schedule with ``overlap="skip"`` skips while its last job has not run. Neither Redis nor a worker is needed, and it
    works inside a test's transaction. Raise ValueError for a datetime without a time zone, and RuntimeError after
    10,000 firings.
    """
    if timezone.is_naive(until):
        raise ValueError(say("Give a datetime with a time zone.", code="not_aware"))
    commits = Commits()
    fired: list[ScheduleFiring] = []
    # A job stays Pending as long as the broker cannot be reached.
    with broker_in_place(MemoryBroker(is_down=True)):
        while (fires := _fire_next(until)) is not None:
            commits.run()
            fired += fires
            if len(fired) > MAX_FIRINGS:
                raise RuntimeError(
                    f"After {MAX_FIRINGS} firings there is still something due; choose an earlier moment."
                )
    return fired


def _fire_next(until: dt.datetime) -> list[ScheduleFiring] | None:
    """Fire the schedule that is due first; None where none is due."""
    due = Schedule.primary.filter(next_run_at__lte=until).order_by("next_run_at", "pk")
    first = due.values_list("pk", "next_run_at").first()
    if first is None or first[1] is None:
        return None
    found = firing.fire_one(first[0], first[1], is_for_all=True)
    return [] if found is None else [found]
