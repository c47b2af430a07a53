"""The activity rows of a job, made from the log as a test wants it to have happened."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from django_jobs.models import ExecutionLog, Job, OrganizationActivity, Span, TypeActivity
from tests.support import verbs
from tests.support.verbs import COUNTERS

MOMENT: Final = dt.datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=dt.UTC)


def roll_up() -> int:
    """Everything; by how many ids it came forward."""
    return verbs.catch_up_rollups()


def counts(row: Any) -> dict[str, int]:
    return {name: getattr(row, name) for name in COUNTERS if getattr(row, name)}


def of_type(job: Job, span: Span = Span.MINUTE) -> TypeActivity:
    return TypeActivity.objects.get(span=span, job_type=job.job_type_id)


def of_organization(job: Job, span: Span = Span.MINUTE) -> OrganizationActivity:
    return OrganizationActivity.objects.get(span=span, organization_id=job.organization_id)


def at(moment: dt.datetime, **filters: Any) -> None:
    """Let what is in the log have happened then."""
    ExecutionLog.objects.filter(**filters).update(timestamp=moment)
