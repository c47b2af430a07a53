"""The job that a submission would become, made of its values, its type and its organization."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models.base import ModelState
from django.db.models.signals import post_init, pre_init

from django_jobs.conf import jobs_settings
from django_jobs.engine import observers
from django_jobs.engine.actors import name_of
from django_jobs.engine.claimed_job import current_job
from django_jobs.engine.job_types.declarations import RETRY_FIELDS
from django_jobs.engine.job_types.lane_keys import lane_key
from django_jobs.engine.json_storage import canonical
from django_jobs.engine.store.insertion_values import NewJob
from django_jobs.engine.submission import resubmission
from django_jobs.engine.submission.fields import Fields, carrying, of_user
from django_jobs.engine.submission.targets import Targets
from django_jobs.models import Job, JobType


@dataclass(slots=True, kw_only=True)
class Request(NewJob):
    """A submission that may become a row: the new job, what it was made of, and what it asks of the same work."""

    #: Made when it is first asked for: of many, while the server inserts those before it.
    job: Job = field(init=False)
    targets: Targets
    fields: Fields
    on_duplicate: str
    common: Common
    #: The earlier job of the same work, in whose favor this one is not inserted.
    existing: Job | None = None
    #: The earlier job that is no longer to keep the same work out: it has started, and this one is to be replaced next.
    supersedes: Job | None = None
    #: Of one among many: whether the user may know of that job, where it is asked before anything is written.
    is_shown: Callable[[Job], bool] | None = None

    def __getattr__(self, name: str) -> Any:
        """Make the job: Python asks this for what is not there yet."""
        if name != "job":
            raise AttributeError(name)
        self.job = self.common.job(self.fields)
        return self.job

    def refuses(self, existing: Job) -> bool:
        """Return whether the same work is an error.

        It is none where the caller says so, nor where an earlier attempt of the running job submitted it. Nobody is
        given a job that the user may not see.
        """
        if self.on_duplicate == "raise":
            return not resubmission.is_own(existing)
        return self.is_shown is not None and not self.is_shown(existing)


@dataclass(slots=True, kw_only=True)
class Common:
    """What all jobs of a type and an organization have in common: values by column, and how the text of work begins."""

    targets: Targets
    values: dict[str, Any]
    window: int
    work: str
    concurrency_key: str
    is_heard: bool

    def job(self, fields: Fields) -> Job:
        """Return a new job with these values of its own."""
        values = self.values.copy()
        values["input_parameters"] = fields.parameters
        values["metadata"] = fields.metadata
        values["run_at"] = fields.run_at
        values["expires_at"] = fields.expires_at
        values["run_after"] = fields.run_after
        values["job_hash"] = _hash(self.work, fields.parameters, fields.unique_key, fields.canonical)
        if self.concurrency_key:
            values["lane_key"] = lane_key(self.concurrency_key, fields.parameters)
        if fields.priority is not None:
            values["priority"] = fields.priority
        if fields.head_start:
            values["head_start"] = fields.head_start
        if fields.timeout is not None:
            values["timeout_seconds"] = fields.timeout
        if fields.max_retries is not None:
            values["max_retries"] = fields.max_retries
        if fields.batch is not None:
            values["batch_id"] = fields.batch.pk
        return (_make if self.is_heard else _make_unheard)(values, self.targets.kind)


class Builder:
    """Makes the requests of one submitter: ``user`` is the owner, or None."""

    def __init__(self, user: Any) -> None:
        self._user = user
        self._common: dict[int, Common] = {}
        self._carried = observers.carried()
        self._is_heard = pre_init.has_listeners(Job) or post_init.has_listeners(Job)

    def build(self, fields: Fields, found: Targets) -> Request:
        """Return the request of these values, for this type and organization."""
        common = self._common.get(id(found)) or self._gather(found)
        if self._user is not None:
            fields = of_user(fields)
        if self._carried:
            fields = carrying(fields, self._carried)
        request = Request(
            common=common,
            versions=found.versions,
            parents=sorted(fields.parents.values()) if fields.parents else (),
            window=common.window if fields.deduplication_window is None else fields.deduplication_window,
            encoded={} if self._is_heard else fields.encoded,  # who hears of a new job may change what it holds
            targets=found,
            fields=fields,
            on_duplicate=fields.on_duplicate,
        )
        if self._is_heard:
            _ = request.job  # who listens hears of it before anything is judged or written
        return request

    def _gather(self, found: Targets) -> Common:
        kind, tenant, user = found.kind, found.organization, self._user
        submitted_by_id, submitted_by_attempt = resubmission.submitter()
        values = _defaults() | {
            "job_type_id": kind.pk,
            "organization_id": tenant.pk,
            "organization_name": str(getattr(tenant, jobs_settings.ORGANIZATION_ID_FIELD)),
            "owner_id": getattr(user, "pk", None),
            "owner_name": name_of(user),
            "priority": int(kind.default_priority),
            **{name: getattr(kind, name) for name in RETRY_FIELDS},
            "timeout_seconds": kind.default_timeout,
            "submitted_by_id": submitted_by_id,
            "submitted_by_attempt": submitted_by_attempt,
        }
        common = Common(
            targets=found,
            values=values,
            window=int(kind.deduplication_window),
            work=_work_of(kind.type_name, tenant.pk),
            concurrency_key=kind.concurrency_key,
            is_heard=self._is_heard,
        )
        self._common[id(found)] = common
        return common


def _make(values: dict[str, Any], kind: JobType) -> Job:
    """Return a new job of these values, which are those of all fields in their order."""
    make: Callable[..., Job] = Job
    job = make(*values.values())
    job.job_type = kind
    return job


def _make_unheard(values: dict[str, Any], kind: JobType) -> Job:
    """Return the same job in a fifth of the time, without Django's way through all fields and without its signals."""
    job = Job.__new__(Job)
    job.__dict__ = values
    job._state = ModelState()
    job._state.fields_cache = {"job_type": kind}
    return job


@functools.cache
def _defaults() -> dict[str, Any]:
    """Return what each field of a new job holds until something else is said, in the order of the fields."""
    return {field.attname: field.get_default() for field in Job._meta.concrete_fields}


def work_hash(job_type: str, organization_pk: object, parameters: Any, unique_key: str | None = None) -> str:
    """Return the SHA-256 of type, organization and canonical parameters: equal work has equal hashes.

    A ``unique_key`` takes the place of the parameters, and is equal to none.
    """
    return _hash(_work_of(job_type, organization_pk), parameters, unique_key)


def _work_of(job_type: str, organization_pk: object) -> str:
    """Return how the canonical JSON of a list begins whose last items say what is to be done."""
    return canonical([job_type, str(organization_pk)])[:-1]


def _hash(beginning: str, parameters: Any, unique_key: str | None, text: str | None = None) -> str:
    """Return the hash; ``text`` is the canonical JSON of the parameters, where it is known."""
    work = text or canonical(parameters) if unique_key is None else f'"unique_key",{canonical(unique_key)}'
    return hashlib.sha256(f"{beginning},{work}]".encode()).hexdigest()


def give_back(requests: Sequence[Request]) -> None:
    """Set each request's ``existing`` to the job that an earlier attempt of the running job submitted, if there is one.

    Outside of handlers, and in first attempts, this asks nothing.
    """
    if not resubmission.is_later_attempt():
        return
    earlier = resubmission.given_back([(request.job.job_hash, request.window) for request in requests])
    for request, job in zip(requests, earlier, strict=True):
        request.existing = job


def take_back(requests: Iterable[Request]) -> None:
    """Have what these got back, of which one is refused, given back to those that submit the same work next."""
    claimed = current_job.get()
    for request in requests:
        if claimed is not None and request.existing is not None:
            claimed.given_back.take_back((request.existing._meta.model_name, request.existing.pk))
