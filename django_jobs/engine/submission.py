"""Submitting a job: validate, create, and ring the bell once it is committed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from django.utils import timezone

from django_jobs.conf import jobs_settings
from django_jobs.engine import database, dispatch, events, targets
from django_jobs.engine.access import get_policy
from django_jobs.engine.insertion import insert_job
from django_jobs.engine.payloads import NotStorable, clean_text, job_hash, storable
from django_jobs.exceptions import InvalidSubmission, PermissionDenied
from django_jobs.models import Job, JobType
from django_jobs.statuses import Priority, Status

MAX_METADATA_BYTES = 4096


def submit_job(
    job_type: str | JobType,
    organization: Any,
    parameters: Mapping[str, Any] | None = None,
    priority: str | int | None = None,
    *,
    user: Any = None,
    run_at: dt.datetime | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Job:
    """Submit one job and return it.

    ``organization`` is an id or an instance; ``priority`` a label or number, by default the type's; ``user`` the
    owner, whose rights are checked (None: trusted server code); ``run_at`` the moment before which it does not run;
    ``metadata`` a JSON object of up to 4 kB for correlation ids and the like.

    Inside a transaction the job is as lasting as the transaction, and reaches the broker only if that commits.
    Raises InvalidSubmission, whose ``errors`` name each field, and PermissionDenied.
    """
    errors: dict[str, list[str]] = {}
    kind, tenant = targets.read_both(job_type, organization)
    if kind is None or tenant is None:
        kind, tenant = targets.read_type(job_type, errors), targets.read_organization(organization, errors)
    _check_open(kind, tenant, errors)
    values = {
        "priority": _check_priority(priority, kind, errors),
        "input_parameters": _check_object(parameters, "parameters", int(jobs_settings.MAX_PARAMETERS_BYTES), errors),
        "metadata": _check_object(metadata, "metadata", MAX_METADATA_BYTES, errors),
        "run_at": _check_run_at(run_at, errors),
    }
    if errors or kind is None or tenant is None:
        raise InvalidSubmission(errors)
    if user is not None and not get_policy().can_submit(user, tenant, kind):
        raise PermissionDenied(f"You may not submit {kind.type_name} for this organization.")
    job = _new_job(kind, tenant, user, values)
    insert_job(job)
    _remember_uncommitted(job)
    database.on_commit(lambda: dispatch.submitted(job))
    events.submitted(job)
    return job


def _new_job(kind: JobType, tenant: Any, user: Any, values: dict[str, Any]) -> Job:
    return Job(
        job_type=kind,
        organization_id=tenant.pk,
        organization_name=str(getattr(tenant, jobs_settings.ORGANIZATION_ID_FIELD)),
        owner_id=getattr(user, "pk", None),
        owner_name=clean_text(user.get_username(), 150) if user is not None else "",
        status=Status.PENDING,
        max_retries=kind.max_retries,
        retry_delay=kind.retry_delay,
        timeout_seconds=kind.default_timeout,
        job_hash=job_hash(kind.type_name, tenant.pk, values["input_parameters"]),
        **values,
    )


def _check_open(kind: JobType | None, tenant: Any, errors: dict[str, list[str]]) -> None:
    if kind is not None and not kind.is_enabled:
        errors["job_type"] = [f"The job type {kind.type_name!r} is disabled."]
    if tenant is not None and not get_policy().is_active(tenant):
        errors["organization"] = ["This organization is not active."]


def _check_priority(priority: object, kind: JobType | None, errors: dict[str, list[str]]) -> int:
    if priority is None:
        return int(kind.default_priority) if kind is not None else int(Priority.NORMAL)
    try:
        return int(Priority.parse(priority))
    except ValueError:
        errors["priority"] = [f"Use one of {', '.join(Priority.labels)}."]
        return int(Priority.NORMAL)


def _check_object(value: object, field: str, max_bytes: int, errors: dict[str, list[str]]) -> Any:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        errors[field] = ["Give an object (a dict), or nothing."]
        return {}
    try:
        return storable(dict(value), field, max_bytes)
    except NotStorable as error:
        errors[field] = [str(error)]
        return {}


def _check_run_at(run_at: object, errors: dict[str, list[str]]) -> dt.datetime | None:
    if run_at is None:
        return None
    if not isinstance(run_at, dt.datetime) or timezone.is_naive(run_at):
        errors["run_at"] = ["Give a datetime with a time zone."]
        return None
    try:
        return run_at.astimezone(dt.UTC)
    except OverflowError:
        errors["run_at"] = ["This moment is out of range."]
        return None


def _remember_uncommitted(job: Job) -> None:
    """So that waiting for a job that no worker can see yet is refused at once."""
    connection = database.connection()
    if connection.in_atomic_block:
        _, waiting = _uncommitted(connection)
        waiting.add(job.pk)
        database.on_commit(lambda: waiting.discard(job.pk))


def _uncommitted(connection: Any) -> tuple[Any, set[int]]:
    """The outermost transaction that is open, and what was submitted in it."""
    transaction = connection.atomic_blocks[0] if connection.atomic_blocks else None
    known: tuple[Any, set[int]] = connection.__dict__.get("django_jobs_uncommitted", (None, set()))
    if known[0] is not transaction:
        known = connection.__dict__["django_jobs_uncommitted"] = (transaction, set())
    return known


def is_uncommitted(pk: int) -> bool:
    """Whether this connection's open transaction submitted the job."""
    connection = database.connection()
    return bool(connection.in_atomic_block and pk in _uncommitted(connection)[1])
