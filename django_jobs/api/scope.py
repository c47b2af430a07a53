"""Which rows of the database the request of a user may reach."""

from __future__ import annotations

from typing import Any, Final, TypeVar

from django_jobs.engine.access import organizations_seen_by
from django_jobs.engine.submission.targets import submittable
from django_jobs.models import Batch, Job, JobType
from django_jobs.models.batch import BatchQuerySet
from django_jobs.models.job import JobQuerySet

Rows = TypeVar("Rows", JobQuerySet, BatchQuerySet)
#: Up to so many keys are written into the statement, so that the database sees how few they are. More are a subquery.
FEW: Final = 1_000


def jobs_seen_by(user: Any) -> JobQuerySet:
    """Return the jobs that this user may know of. Every route starts from here."""
    return _seen_by(user, Job.primary.all())


def batches_seen_by(user: Any) -> BatchQuerySet:
    """Return the batches that this user may know of."""
    return _seen_by(user, Batch.primary.all())


def _seen_by(user: Any, rows: Rows) -> Rows:
    organizations = organizations_seen_by(user)
    if organizations is None:
        return rows
    pks = list(organizations.values_list("pk", flat=True)[: FEW + 1])
    if len(pks) > FEW:
        return rows.filter(organization_id__in=organizations.values("pk"))
    return rows.filter(organization_id__in=pks)


def job_types_for(user: Any) -> list[JobType]:
    """Return the job types that the user may submit in some organization, by name.

    System admins get all of them, also those that they may not submit, since they write them.
    """
    rows = list(JobType.primary.order_by("pk"))
    if organizations_seen_by(user) is None:
        return rows
    return submittable(user, [kind for kind in rows if kind.is_enabled])
