"""Pages of schedules in the admin, and what is typed there."""

from __future__ import annotations

from typing import Any, Final

from django_jobs.models import Schedule
from tests.support.admin import url

LIST: Final = "/admin/django_jobs/schedule/"


def form(**changed: Any) -> dict[str, Any]:
    """What the form of a schedule sends."""
    values = {"name": "nightly", "cron": "0 2 * * *", "timezone": "UTC", "jitter": "0 s", "parameters": "{}"}
    return {**values, "catch_up": "once", "overlap": "skip", "organization": "", **changed}


def page(schedule: Schedule) -> str:
    """The address of a schedule's page."""
    return url("schedule", "change", schedule.pk)
