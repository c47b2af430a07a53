"""Schedules that are due at a moment that a test chooses."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from django_jobs import schedule_job
from django_jobs.models import JobType, Schedule
from tests.support.factories import make_job_type

#: A Tuesday.
NOON: Final = dt.datetime(2026, 6, 2, 12, tzinfo=dt.UTC)
MINUTE: Final = dt.timedelta(minutes=1)
HOUR: Final = dt.timedelta(hours=1)


def make_schedule(
    job_type: JobType | None = None, organization: Any = None, *, due: dt.datetime = NOON, **keywords: Any
) -> Schedule:
    """A schedule, by default of each minute in UTC, that is due at a moment for the first time."""
    if not keywords.keys() & {"cron", "every"}:
        keywords["cron"] = "* * * * *"
    keywords.setdefault("timezone", "UTC")
    name = keywords.pop("name", "nightly")
    made = schedule_job(name, job_type or make_job_type(), organization, **keywords)
    Schedule.objects.filter(pk=made.pk).update(next_run_at=due, created_at=due - HOUR)
    made.refresh_from_db()
    return made
