"""What a submission asks for, checked field by field, and the job that it would become."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django_jobs.conf import jobs_settings
from django_jobs.engine.access import get_policy, may_hide_jobs, may_view
from django_jobs.engine.job_types import parameters
from django_jobs.engine.json_storage import NotStorable, clean_text, job_hash, storable
from django_jobs.engine.submission import resubmission
from django_jobs.engine.submission.errors import Errors
from django_jobs.engine.submission.options import Options, check_moment, check_options
from django_jobs.engine.submission.targets import Targets
from django_jobs.exceptions import JobTypeDisabled, OrganizationInactive
from django_jobs.models import Job
from django_jobs.models.job import parse_job_id
from django_jobs.statuses import UNSUCCESSFUL, Priority, RunAfter

MAX_METADATA_BYTES = 4096
MAX_PARENTS = 10_000


@dataclass(slots=True)
class Request:
    """A submission that may become a row: the unsaved job, and what stands beside the row."""

    job: Job
    targets: Targets
    parents: list[int] = field(default_factory=list)
    #: Seconds in which the same work is refused; 0: never.
    window: int = 0
    on_duplicate: str = "raise"
    log_id: int = 0
    #: The earlier job that the same work made, in whose favour this one was not inserted.
    existing: Job | None = None
    #: Of one among many: whether the user may know of that job, where it is asked before anything is written.
    is_shown: Callable[[Job], bool] | None = None

    def refuses(self, existing: Job) -> bool:
        """Whether the same work is an error: not where the caller says otherwise, nor to a handler whose own it is.

        Nobody is given what the user may not see.
        """
        if self.on_duplicate == "raise":
            return not resubmission.is_own(existing)
        return self.is_shown is not None and not self.is_shown(existing)


@dataclass(slots=True)
class Values:
    """The fields that need neither type nor organization to be judged."""

    parameters: Any
    metadata: Any
    priority: int | None
    run_at: dt.datetime | None
    parents: dict[str, int]
    options: Options

    def window_of(self, found: Targets) -> int:
        """Seconds in which the same work is refused."""
        own = self.options.window
        return int(found.kind.deduplication_window) if own is None else own

    def hash_of(self, found: Targets) -> str:
        """What equal work has in common."""
        return job_hash(found.kind.type_name, found.organization.pk, self.parameters, self.options.unique_key)


def check_values(fields: Mapping[str, Any], errors: Errors) -> Values:
    """Judge a submission's fields one by one; what is wrong goes into ``errors``."""
    return Values(
        parameters=_check_object(
            fields.get("parameters"), "parameters", int(jobs_settings.MAX_PARAMETERS_BYTES), errors
        ),
        metadata=_check_object(fields.get("metadata"), "metadata", MAX_METADATA_BYTES, errors),
        priority=_check_priority(fields.get("priority"), errors),
        run_at=check_moment(fields.get("run_at"), "run_at", errors),
        parents=_check_names(fields.get("depends_on"), errors),
        options=check_options(fields, errors),
    )


def check_open(found: Targets, errors: Errors, *, is_active: bool) -> None:
    """What keeps this type and this organization from taking submissions at all."""
    if not found.kind.is_enabled:
        errors.note("job_type", f"The job type {found.kind.type_name!r} is disabled.", JobTypeDisabled)
    if not is_active:
        errors.note("organization", "This organization is not active.", OrganizationInactive)


def is_active(found: Targets) -> bool:
    """Whether the policy lets the organization's jobs start."""
    return bool(get_policy().is_active(found.organization))


def check_window(values: Values, found: Targets, errors: Errors) -> None:
    """A key that is unique in no time at all is a mistake."""
    if values.options.unique_key is not None and not values.window_of(found):
        errors["unique_key"] = ["It needs a deduplication_window of more than 0 seconds to be unique in."]


def check_parameters(values: Values, found: Targets, errors: Errors) -> None:
    """What the type's own serializer says of parameters that are otherwise good."""
    if "parameters" not in errors:
        errors.update(parameters.validate(found.kind.type_name, values.parameters))


def build(found: Targets, values: Values, user: Any) -> Request:
    """The request of values that were found good."""
    kind, tenant, options = found.kind, found.organization, values.options
    submitted_by_id, submitted_by_attempt = resubmission.submitter()
    fields = _defaults() | {
        "job_type_id": kind.pk,
        "organization_id": tenant.pk,
        "organization_name": str(getattr(tenant, jobs_settings.ORGANIZATION_ID_FIELD)),
        "owner_id": getattr(user, "pk", None),
        "owner_name": clean_text(user.get_username(), 150) if user is not None else "",
        "priority": int(kind.default_priority) if values.priority is None else values.priority,
        "input_parameters": values.parameters,
        "metadata": values.metadata,
        "run_at": values.run_at,
        "max_retries": kind.max_retries if options.max_retries is None else options.max_retries,
        "retry_delay": kind.retry_delay,
        "timeout_seconds": kind.default_timeout if options.timeout is None else options.timeout,
        "expires_at": options.expires_at,
        "run_after": options.run_after,
        "job_hash": values.hash_of(found),
        "submitted_by_id": submitted_by_id,
        "submitted_by_attempt": submitted_by_attempt,
    }
    make: Callable[..., Job] = Job
    job = make(*fields.values())
    job.job_type = kind
    parents = sorted(values.parents.values())
    return Request(job, found, parents, values.window_of(found), options.on_duplicate)


@functools.cache
def _defaults() -> dict[str, Any]:
    """What each field of a new job holds until something else is said, in the order of the fields.

    A model that is made of all its values in order takes a third of the time of one that is made of names.
    """
    return {field.attname: field.get_default() for field in Job._meta.concrete_fields}


def read_parents(names: Iterable[str], user: Any) -> dict[str, Job]:
    """The jobs of these ids that exist, by id, without those that the policy hides from ``user``."""
    wanted = {parsed[0] for name in names if (parsed := parse_job_id(name)) is not None}
    if not wanted:
        return {}
    rows = Job.primary.filter(pk__in=wanted)
    found = {job.name: job for job in rows.only("pk", "created_at", "status", "organization_id")}
    if user is None or not may_hide_jobs():
        return found
    return {name: job for name, job in found.items() if may_view(user, job)}


def check_parents(values: Values, found: Targets, known: Mapping[str, Job], errors: Errors) -> None:
    """Which of the jobs to wait for cannot be waited for; ``known`` are those that exist."""
    must_complete = values.options.run_after != RunAfter.ENDED
    problems = [
        problem
        for name in values.parents
        if (problem := _parent_problem(name, known, found.organization.pk, must_complete=must_complete))
    ]
    if problems:
        errors["depends_on"] = [*errors.get("depends_on", ()), *problems]


def _parent_problem(name: str, known: Mapping[str, Job], organization_pk: Any, *, must_complete: bool) -> str | None:
    parent = known.get(name)
    if parent is None or parent.organization_id != organization_pk:  # not told apart: it is none of theirs
        return f"There is no job {name} in this organization."
    if must_complete and parent.status in UNSUCCESSFUL:
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
