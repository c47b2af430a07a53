"""For how long ended jobs are kept, where a type says otherwise than the setting."""

from __future__ import annotations

from django_jobs.models import JobType


def own_retention_days() -> dict[str, int]:
    """Return the days of each type that has its own in the place of RETENTION_DAYS, by the type's name."""
    rows = JobType.primary.filter(retention_days__isnull=False).order_by("pk")
    return {name: int(days or 0) for name, days in rows.values_list("pk", "retention_days")}
