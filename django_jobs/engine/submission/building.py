"""The job that a submission would become, made of its values, its type and its organization."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django_jobs.conf import jobs_settings
from django_jobs.engine.job_types.declarations import RETRY_FIELDS
from django_jobs.engine.json_storage import clean_text
from django_jobs.engine.store.insertion_values import NewJob
from django_jobs.engine.submission import resubmission
from django_jobs.engine.submission.fields import Fields
from django_jobs.engine.submission.targets import Targets
from django_jobs.models import Job

# Made once: ``json.dumps`` makes an encoder for each call with an argument of its own.
_CANONICAL: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


@dataclass(slots=True, kw_only=True)
class Request(NewJob):
    """A submission that may become a row: the new job, what it was made of, and what it asks of the same work."""

    targets: Targets
    fields: Fields
    on_duplicate: str
    #: The earlier job of the same work, in whose favor this one is not inserted.
    existing: Job | None = None
    #: Of one among many: whether the user may know of that job, where it is asked before anything is written.
    is_shown: Callable[[Job], bool] | None = None

    def refuses(self, existing: Job) -> bool:
        """Return whether the same work is an error.

        It is none where the caller says so, nor where an earlier attempt of the running job submitted it. Nobody is
        given a job that the user may not see.
        """
        if self.on_duplicate == "raise":
            return not resubmission.is_own(existing)
        return self.is_shown is not None and not self.is_shown(existing)


def build(fields: Fields, found: Targets, user: Any) -> Request:
    """Return the request of these values, for this type and organization; ``user`` is the owner, or None."""
    kind, tenant = found.kind, found.organization
    submitted_by_id, submitted_by_attempt = resubmission.submitter()
    values = _defaults() | {
        "job_type_id": kind.pk,
        "organization_id": tenant.pk,
        "organization_name": str(getattr(tenant, jobs_settings.ORGANIZATION_ID_FIELD)),
        "owner_id": getattr(user, "pk", None),
        "owner_name": clean_text(user.get_username(), 150) if user is not None else "",
        "priority": int(kind.default_priority) if fields.priority is None else fields.priority,
        "input_parameters": fields.parameters,
        "metadata": fields.metadata,
        "run_at": fields.run_at,
        **{name: getattr(kind, name) for name in RETRY_FIELDS},
        "timeout_seconds": kind.default_timeout if fields.timeout is None else fields.timeout,
        "expires_at": fields.expires_at,
        "run_after": fields.run_after,
        "job_hash": work_hash(kind.type_name, tenant.pk, fields.parameters, fields.unique_key),
        "submitted_by_id": submitted_by_id,
        "submitted_by_attempt": submitted_by_attempt,
    }
    if fields.max_retries is not None:
        values["max_retries"] = fields.max_retries
    make: Callable[..., Job] = Job
    job = make(*values.values())
    job.job_type = kind
    own_window = fields.deduplication_window
    window = int(kind.deduplication_window) if own_window is None else own_window
    return Request(
        job=job,
        versions=found.versions,
        parents=sorted(fields.parents.values()),
        window=window,
        targets=found,
        fields=fields,
        on_duplicate=fields.on_duplicate,
    )


@functools.cache
def _defaults() -> dict[str, Any]:
    """Return what each field of a new job holds until something else is said, in the order of the fields.

    A model that is made of all its values in order takes a third of the time of one that is made of names.
    """
    return {field.attname: field.get_default() for field in Job._meta.concrete_fields}


def work_hash(job_type: str, organization_pk: object, parameters: Any, unique_key: str | None = None) -> str:
    """Return the SHA-256 of type, organization and canonical parameters: equal work has equal hashes.

    A ``unique_key`` takes the place of the parameters, and is equal to none.
    """
    work: list[Any] = [job_type, str(organization_pk)]
    work += [parameters] if unique_key is None else ["unique_key", unique_key]
    return hashlib.sha256(_CANONICAL.encode(work).encode()).hexdigest()


def give_back(requests: Sequence[Request]) -> None:
    """Set each request's ``existing`` to the job that an earlier attempt of the running job submitted, if there is one.

    Outside of handlers, and in first attempts, this asks nothing.
    """
    if not resubmission.is_later_attempt():
        return
    earlier = resubmission.given_back([(request.job.job_hash, request.window) for request in requests])
    for request, job in zip(requests, earlier, strict=True):
        request.existing = job
