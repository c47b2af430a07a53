"""What a submission asks for, checked field by field, and the job that it would become."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone

from django_jobs.conf import jobs_settings
from django_jobs.engine import database, parameters
from django_jobs.engine.access import get_policy, may_hide_jobs, may_view
from django_jobs.engine.payloads import NotStorable, clean_text, job_hash, storable
from django_jobs.engine.targets import Targets
from django_jobs.models import Job
from django_jobs.models.job import parse_job_id
from django_jobs.statuses import Priority, Status

MAX_METADATA_BYTES = 4096
MAX_PARENTS = 10_000

Errors = dict[str, list[str]]


@dataclass(slots=True)
class Request:
    """A submission that may become a row: the unsaved job, and what stands beside the row."""

    job: Job
    targets: Targets
    parents: list[int] = field(default_factory=list)
    log_id: int = 0

    @property
    def window(self) -> int:
        """Seconds in which the same work is refused; 0: never."""
        return int(self.targets.kind.deduplication_window)


@dataclass(slots=True)
class Values:
    """The fields that need neither type nor organization to be judged."""

    parameters: Any
    metadata: Any
    priority: int | None
    run_at: dt.datetime | None
    parents: dict[str, int]


def check_values(
    given: object, metadata: object, priority: object, run_at: object, depends_on: object, errors: Errors
) -> Values:
    """Judge the parameters given and the rest one by one; what is wrong goes into ``errors``."""
    return Values(
        parameters=_check_object(given, "parameters", int(jobs_settings.MAX_PARAMETERS_BYTES), errors),
        metadata=_check_object(metadata, "metadata", MAX_METADATA_BYTES, errors),
        priority=_check_priority(priority, errors),
        run_at=_check_run_at(run_at, errors),
        parents=_check_names(depends_on, errors),
    )


def check_open(found: Targets) -> Errors:
    """What keeps this type and this organization from taking submissions at all."""
    errors: Errors = {}
    if not found.kind.is_enabled:
        errors["job_type"] = [f"The job type {found.kind.type_name!r} is disabled."]
    if not get_policy().is_active(found.organization):
        errors["organization"] = ["This organization is not active."]
    return errors


def check_parameters(values: Values, found: Targets, errors: Errors) -> None:
    """What the type's own serializer says of parameters that are otherwise good."""
    if "parameters" not in errors:
        errors.update(parameters.validate(found.kind.type_name, values.parameters))


def build(found: Targets, values: Values, user: Any) -> Request:
    """The request of values that were found good."""
    kind, tenant = found.kind, found.organization
    job = Job(
        job_type=kind,
        organization_id=tenant.pk,
        organization_name=str(getattr(tenant, jobs_settings.ORGANIZATION_ID_FIELD)),
        owner_id=getattr(user, "pk", None),
        owner_name=clean_text(user.get_username(), 150) if user is not None else "",
        status=Status.PENDING,
        priority=int(kind.default_priority) if values.priority is None else values.priority,
        input_parameters=values.parameters,
        metadata=values.metadata,
        run_at=values.run_at,
        max_retries=kind.max_retries,
        retry_delay=kind.retry_delay,
        timeout_seconds=kind.default_timeout,
        job_hash=job_hash(kind.type_name, tenant.pk, values.parameters),
    )
    return Request(job, found, sorted(values.parents.values()))


def read_parents(names: Iterable[str], user: Any) -> dict[str, Job]:
    """The jobs of these ids that exist, by id, without those that the policy hides from ``user``."""
    wanted = {parsed[0] for name in names if (parsed := parse_job_id(name)) is not None}
    if not wanted:
        return {}
    rows = Job.objects.using(database.alias()).filter(pk__in=wanted)
    found = {job.name: job for job in rows.only("pk", "created_at", "status", "organization_id")}
    if user is None or not may_hide_jobs():
        return found
    return {name: job for name, job in found.items() if may_view(user, job)}


def check_parents(values: Values, found: Targets, known: Mapping[str, Job], errors: Errors) -> None:
    """Which of the jobs to wait for cannot be waited for; ``known`` are those that exist."""
    organization_pk = found.organization.pk
    problems = [problem for name in values.parents if (problem := _parent_problem(name, known, organization_pk))]
    if problems:
        errors["depends_on"] = [*errors.get("depends_on", ()), *problems]


def _parent_problem(name: str, known: Mapping[str, Job], organization_pk: Any) -> str | None:
    parent = known.get(name)
    if parent is None or parent.organization_id != organization_pk:  # not told apart: it is none of theirs
        return f"There is no job {name} in this organization."
    if parent.status in {Status.CANCELED, Status.DEAD_LETTER}:
        return f"{name} has ended as {parent.status}: it will not complete unless somebody retries it."
    return None


def _check_names(depends_on: object, errors: Errors) -> dict[str, int]:
    """Job id and primary key of each job to wait for."""
    if depends_on is None or depends_on == "":
        return {}
    is_many = isinstance(depends_on, Iterable) and not isinstance(depends_on, str | bytes | Mapping)
    items = list(depends_on) if is_many else [depends_on]  # type: ignore[call-overload]
    if len(items) > MAX_PARENTS:
        errors["depends_on"] = [f"At most {MAX_PARENTS} jobs can be waited for."]
        return {}
    names: dict[str, int] = {}
    for item in items:
        name = _name_of(item) if isinstance(item, Job) else item
        parsed = parse_job_id(name)
        if parsed is None:
            shown = clean_text(_readable(name), 100)
            errors.setdefault("depends_on", []).append(f"{shown} is not a job id such as JOB-2026-00001.")
        else:
            names[str(name)] = parsed[0]
    return names


def _name_of(job: Job) -> str:
    is_saved = None not in {job.pk, job.created_at}
    return job.name if is_saved else "an unsaved job"


def _readable(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001  (a number of 10,000 digits, an object with a repr of its own)
        return f"This {type(value).__name__}"


def _check_priority(priority: object, errors: Errors) -> int | None:
    if priority is None:
        return None
    try:
        return int(Priority.parse(priority))
    except ValueError:
        errors["priority"] = [f"Use one of {', '.join(Priority.labels)}."]
        return None


def _check_object(value: object, name: str, max_bytes: int, errors: Errors) -> Any:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        errors[name] = ["Give an object (a dict), or nothing."]
        return {}
    try:
        return storable(dict(value), name, max_bytes) if value else {}
    except NotStorable as error:
        errors[name] = [str(error)]
        return {}


def _check_run_at(run_at: object, errors: Errors) -> dt.datetime | None:
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
