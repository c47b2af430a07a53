"""A schedule that is on, and could not submit its jobs the last time."""

from __future__ import annotations

from typing import Any

from django_jobs.engine.alerts.findings import MAX_FINDINGS, Finding, Look, one_line
from django_jobs.engine.insight.schedule_diagnostics import FAULTY
from django_jobs.models import Schedule


def find(_look: Look) -> list[Finding]:
    """Return the first schedules that cannot fire, by name."""
    rows = Schedule.primary.filter(FAULTY).order_by("name", "pk")
    return [Finding(subject=str(row), facts=_facts(row)) for row in rows[:MAX_FINDINGS]]


def _facts(row: Schedule) -> dict[str, Any]:
    organization = "" if row.organization_id is None else str(row.organization_id)
    return {
        "schedule": row.pk,
        "job_type": row.job_type_id,
        "error": one_line(row.fault),
        "error_of": organization,
        "since": row.faulty_since.isoformat() if row.faulty_since else None,
        "organizations": {organization: 0} if organization else {},
    }
