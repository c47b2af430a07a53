"""Reading: what a job is doing, why it waits, what happened to it, and waiting for its end."""

from __future__ import annotations

import dataclasses
import datetime as dt
import time
from typing import Any

from django_jobs.conf import jobs_settings
from django_jobs.engine import database, submission
from django_jobs.engine.access import get_policy
from django_jobs.engine.execution import current_job
from django_jobs.engine.lookup import find_job
from django_jobs.exceptions import JobFailed
from django_jobs.models import ExecutionLog, Job, JobType, get_organization_model
from django_jobs.models.job import format_job_id
from django_jobs.statuses import IN_FLIGHT, TERMINAL, Priority, Status

FIRST_LOOK = 0.01
LONGEST_PAUSE = 0.25


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """What may be told of a job. Times are aware, in UTC; ``priority`` is the label; ``progress`` is a percentage.

    ``waiting_for`` says why it does not run yet: None or ``run_at``, ``dependency``, ``retry``,
    ``organization_inactive``, ``type_disabled``, ``type_paused``, ``limit``, ``window`` or ``broker``.
    """

    job_id: str
    job_type: str
    organization: str
    owner: str
    status: str
    priority: str
    progress: int
    progress_message: str
    created_at: dt.datetime
    run_at: dt.datetime | None
    queued_at: dt.datetime | None
    started_at: dt.datetime | None
    completed_at: dt.datetime | None
    canceled_at: dt.datetime | None
    attempt: int
    retry_count: int
    max_retries: int
    next_retry_at: dt.datetime | None
    output_reference: str | None
    result: Any
    error_message: str
    error_type: str
    cancel_requested: bool
    depends_on: list[str]
    waiting_for: str | None

    def as_dict(self) -> dict[str, Any]:
        """The same as a dict; times stay datetimes."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


def get_job_status(job_id: str | Job, *, user: Any = None) -> JobStatus:
    """What the job is doing now. JobNotFound when there is none, or none that ``user`` may know of."""
    return describe(find_job(job_id, user))


def describe(job: Job) -> JobStatus:
    """The status of a row that was just read."""
    parents = job.depends_on.using(database.alias()).order_by("pk").values_list("pk", "created_at")
    return JobStatus(
        job_id=job.name,
        job_type=job.job_type_id,
        organization=job.organization_name,
        owner=job.owner_name,
        status=str(job.status),
        priority=str(Priority(job.priority).label),
        progress=job.progress,
        progress_message=job.progress_message,
        created_at=job.created_at,
        run_at=job.run_at,
        queued_at=job.queued_at,
        started_at=job.started_at,
        completed_at=job.completed_at,
        canceled_at=job.canceled_at,
        attempt=job.attempt,
        retry_count=job.retry_count,
        max_retries=job.max_retries,
        next_retry_at=job.next_retry_at,
        output_reference=job.output_reference or None,
        result=job.result,
        error_message=job.error_message,
        error_type=job.error_type,
        cancel_requested=job.cancel_requested_at is not None,
        depends_on=[format_job_id(pk, created_at.year) for pk, created_at in parents],
        waiting_for=_waiting_for(job),
    )


def _waiting_for(job: Job) -> str | None:
    """The first of the reasons that hold, in the order in which a person would mend them."""
    if job.status in TERMINAL or job.status == Status.RUNNING:
        return None
    if job.ready_at is not None and job.ready_at > database.now():
        return "retry" if job.status in {Status.FAILED, Status.TIMED_OUT} else "run_at"
    organization = get_organization_model()._default_manager.filter(pk=job.organization_id).first()
    if organization is not None and not get_policy().is_active(organization):
        return "organization_inactive"
    kind = JobType.objects.using(database.alias()).filter(pk=job.job_type_id).first()
    if kind is not None and not kind.is_enabled:
        return "type_disabled"
    if kind is not None and kind.is_paused:
        return "type_paused"
    if job.status == Status.QUEUED:
        return "broker"
    in_flight = Job.objects.using(database.alias()).filter(
        status__in=sorted(IN_FLIGHT), organization_id=job.organization_id
    )
    if in_flight.count() >= jobs_settings.MAX_IN_FLIGHT_PER_ORGANIZATION:
        return "limit"
    return "window"


def get_job_history(job_id: str | Job, *, user: Any = None) -> list[dict[str, Any]]:
    """The job's Execution Log in order: id, from_status, to_status, timestamp, actor, message, attempt."""
    job = find_job(job_id, user)
    names = ("id", "from_status", "to_status", "timestamp", "actor", "message", "attempt")
    return list(ExecutionLog.objects.using(database.alias()).filter(job=job).order_by("id").values(*names))


def wait_for_job(job_id: str | Job, timeout: float = 300, *, user: Any = None) -> JobStatus:
    """Wait until the job is Completed and return its status; ``timeout`` is in seconds.

    Raises JobFailed when it ended otherwise, TimeoutError when time ran out, and RuntimeError at once where waiting
    would never end: inside a handler, or in the transaction that submitted the job.
    """
    job = find_job(job_id, user)
    if current_job.get() is not None:
        raise RuntimeError("A handler cannot wait for another job: it would hold a worker. Let the job depend on it.")
    if submission.is_uncommitted(job.pk):
        raise RuntimeError(f"{job.name} was submitted in this open transaction; no worker sees it before the commit.")
    deadline = time.monotonic() + timeout
    pause = FIRST_LOOK
    while job.status not in TERMINAL:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"{job.name} did not complete in {timeout:g} s; it is {job.status}.")
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, LONGEST_PAUSE)
        job = find_job(job.name, user)
    status = describe(job)
    if status.status != Status.COMPLETED:
        raise JobFailed(status)
    return status
