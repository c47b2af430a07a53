"""Looking at schedules: how many there are, which fire next, and which cannot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from django.db.models import Count, Q

from django_jobs.engine.insight.findings import PROBLEM, Finding
from django_jobs.models import Schedule
from django_jobs.texts import say

SCHEDULES: Final = "schedules"
#: How many are named; the others are counted.
MAX_NAMED: Final = 5
#: Characters of a reason.
MAX_REASON: Final = 200
FAULTY: Final = Q(is_enabled=True) & ~Q(fault="")
#: How many of those that fire next are told.
MAX_NEXT: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulesSeen:
    """All schedules at one moment. ``faulty`` are the first that cannot fire, and why; ``coming`` fire next."""

    count: int
    paused: int
    faulty_count: int
    faulty: list[Schedule]
    coming: list[Schedule]


def read_schedules() -> SchedulesSeen:
    """Return how the schedules are, read in three statements at most."""
    found = Schedule.primary.aggregate(
        count=Count("pk"), paused=Count("pk", filter=Q(is_enabled=False)), faulty=Count("pk", filter=FAULTY)
    )
    coming = Schedule.primary.filter(next_run_at__isnull=False).order_by("next_run_at", "pk")
    return SchedulesSeen(
        count=found["count"],
        paused=found["paused"],
        faulty_count=found["faulty"],
        faulty=first_faulty()[:MAX_NAMED] if found["faulty"] else [],
        coming=list(coming[:MAX_NEXT]),
    )


def first_faulty() -> list[Schedule]:
    """Return the first schedules that cannot fire, by name; one more than are named."""
    return list(Schedule.primary.filter(FAULTY).order_by("name", "pk")[: MAX_NAMED + 1])


def named(found: list[Schedule]) -> str:
    """Return the schedules of :func:`first_faulty` in one line of text."""
    shown = "; ".join(f"{row} ({row.fault[:MAX_REASON].rstrip('.')})" for row in found[:MAX_NAMED])
    return f"{shown}; and more" if len(found) > MAX_NAMED else shown


def examine_schedules() -> Iterator[Finding]:
    """Yield a finding where enabled schedules could not submit their jobs the last time."""
    found = first_faulty()
    if found:
        text = say(
            "cannot fire: %(schedules)s. Mend, pause or delete them.", code="cannot_fire", schedules=named(found)
        )
        yield Finding(level=PROBLEM, subject=SCHEDULES, text=text)
