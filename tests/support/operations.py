"""Operations on many jobs, and how they are worked off without waiting."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from django.contrib.auth.models import User

from django_jobs.models import Job, JobType, Operation, Organization
from django_jobs.statuses import Status
from tests.support import verbs
from tests.support.brokers import job_in
from tests.support.factories import make_organization
from tests.support.verbs import JobFilter, OperationRequest, OperationWork

FAST: Final = 6_000


def dead(kind: JobType, count: int, organization: Organization | None = None, **fields: Any) -> list[Job]:
    """So many jobs that died of the same."""
    tenant = organization or make_organization()
    return [job_in(Status.DEAD_LETTER, job_type=kind, organization=tenant, **fields) for _ in range(count)]


def group_of(job: Job) -> JobFilter:
    """The dead letters of the job's type with its error."""
    return JobFilter(status=(Status.DEAD_LETTER,), job_type=(job.job_type_id,), error_fingerprint=job.error_fingerprint)


def begin(job: Job, user: User | None, rate: int | None = FAST, action: str = "retry", **terms: Any) -> Operation:
    """An operation on the job's group."""
    return start(group_of(job), user, action, rate=rate, **terms)


def start(filters: JobFilter, user: User | None, action: str = "retry", **terms: Any) -> Operation:
    """An operation on what a filter names."""
    return verbs.start_operation(OperationRequest(action=action, filters=filters, **terms), user=user)


def later(operation: Operation, seconds: float) -> None:
    """Let time go by for this operation."""
    row = Operation.objects.get(pk=operation.pk)
    Operation.objects.filter(pk=operation.pk).update(
        released_until=row.released_until - dt.timedelta(seconds=seconds), counted_at=None
    )


def work_off() -> int:
    """One round of all operations; how many jobs they came by."""
    return OperationWork().do_round()


def finish(operation: Operation) -> Operation:
    """Work it off, however long that takes."""
    while (row := Operation.objects.get(pk=operation.pk)).state == Operation.State.RUNNING:
        later(row, 10)
        work_off()
    return row
