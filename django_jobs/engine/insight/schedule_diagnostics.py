"""Looking at schedules: how many there are, which fire next, and which cannot."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from django.db.models import Count, Q

from django_jobs.engine.insight.findings import PROBLEM, Finding
from django_jobs.models import Schedule

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
    faulty: list[tuple[str, str]]
    coming: list[tuple[str, dt.datetime]]


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
        coming=[(name, at) for name, at in coming.values_list("name", "next_run_at")[:MAX_NEXT] if at is not None],
    )


def first_faulty() -> list[tuple[str, str]]:
    """Return the names of the first schedules that cannot fire, with the reasons; one more than are named."""
    rows = Schedule.primary.filter(FAULTY).order_by("name").values_list("name", "fault")
    return list(rows[: MAX_NAMED + 1])


def named(found: list[tuple[str, str]]) -> str:
    """Return the schedules of :func:`first_faulty` in one line of text."""
    shown = "; ".join(f"{name} ({fault[:MAX_REASON].rstrip('.')})" for name, fault in found[:MAX_NAMED])
    return f"{shown}; and more" if len(found) > MAX_NAMED else shown


def examine_schedules() -> Iterator[Finding]:
    """Yield a finding where enabled schedules could not submit their jobs the last time."""
    found = first_faulty()
    if found:
        text = f"cannot fire: {named(found)}. Mend, pause or delete them."
        yield Finding(level=PROBLEM, subject=SCHEDULES, text=text)
