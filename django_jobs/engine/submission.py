"""Submitting jobs, one or many: validate, create, and ring the bell once they are committed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django_jobs.engine import bulk, database, dispatch, duplicates, events, insertion, limits, requests, targets
from django_jobs.engine.requests import Request
from django_jobs.engine.submission_rights import Doorkeeper
from django_jobs.exceptions import DuplicateJob, InvalidSubmission, JobsError, RetryableRefusal
from django_jobs.models import Job, JobType

ON_DUPLICATE = ("raise", "return")
MAX_TRIES = 10


def submit_job(
    job_type: str | JobType,
    organization: Any,
    parameters: Mapping[str, Any] | None = None,
    priority: str | int | None = None,
    depends_on: str | Job | Iterable[str | Job] | None = None,
    *,
    user: Any = None,
    run_at: dt.datetime | None = None,
    metadata: Mapping[str, Any] | None = None,
    on_duplicate: str = "raise",
) -> Job:
    """Submit one job and return it.

    ``organization`` is an id or an instance; ``priority`` a label or number, by default the type's; ``depends_on`` a
    job or job id, or a list of them, that must complete first; ``user`` the owner, whose rights are checked (None:
    trusted server code); ``run_at`` the moment before which it does not run; ``metadata`` a JSON object of up to 4 kB
    for correlation ids and the like; ``on_duplicate="return"`` gives the earlier job where the same work was
    submitted within the type's window, instead of raising DuplicateJob.

    Inside a transaction the job is as lasting as the transaction, and reaches the broker only if that commits; a
    refusal leaves the transaction usable. Raises InvalidSubmission, whose ``errors`` name each field,
    PermissionDenied, DuplicateJob, QueueFull and RateLimited.
    """
    errors: requests.Errors = {}
    if on_duplicate not in ON_DUPLICATE:
        errors["on_duplicate"] = ["Use 'raise' or 'return'."]
    values = requests.check_values(parameters, metadata, priority, run_at, depends_on, errors)
    for trial in range(MAX_TRIES):
        try:
            request = _examine(job_type, organization, values, user, {**errors})
            _check_limits(request, is_fresh=trial > 0 or request.targets.versions is None)
            insertion.insert(request)
        except targets.TargetsChanged:
            targets.forget()
        except DuplicateJob as duplicate:
            duplicates.hide_unseen(duplicate, user)
            if on_duplicate == "return":
                return duplicate.existing
            raise
        except JobsError:
            if trial or not targets.forget():
                raise  # judged by what was just read
        else:
            _tell_later([request])
            return request.job
    raise InvalidSubmission({"job_type": ["The job type or the organization changes at this moment; try again."]})


def _check_limits(request: Request, *, is_fresh: bool) -> None:
    """QueueFull or RateLimited, unless the same work is there already, which needs no room."""
    try:
        limits.check([request.targets])
    except RetryableRefusal:
        if request.window and is_fresh:
            duplicates.refuse([request.job.job_hash])
        raise


def submit_jobs(submissions: Iterable[Mapping[str, Any]], *, user: Any = None) -> list[Job]:
    """Submit many jobs, all or nothing, in a few statements; they come back in the given order.

    Each item takes :func:`submit_job`'s arguments by name, without ``user`` and ``on_duplicate``. InvalidSubmission
    has every item's errors in ``by_index``; DuplicateJob, RateLimited and QueueFull tell the ``index`` of the first
    culprit.
    """
    items = _as_list(submissions)
    if not items:
        return []
    submitted = bulk.submit(items, user)
    _tell_later(submitted)
    return [request.job for request in submitted]


def _as_list(submissions: object) -> list[Any]:
    if isinstance(submissions, str | bytes | Mapping) or not isinstance(submissions, Iterable):
        raise InvalidSubmission({"non_field_errors": ["Give a list of submissions, each an object (a dict)."]})
    return list(submissions)


def _examine(job_type: Any, organization: Any, values: requests.Values, user: Any, errors: requests.Errors) -> Request:
    found = targets.read(job_type, organization, errors, Doorkeeper(user))
    if found is not None:
        errors.update(requests.check_open(found))
        if values.parents:
            requests.check_parents(values, found, requests.read_parents(values.parents, user), errors)
        requests.check_parameters(values, found, errors)
    if errors or found is None:
        raise InvalidSubmission(errors)
    return requests.build(found, values, user)


def _tell_later(submitted: Sequence[Request]) -> None:
    """What follows the commit: parents are looked at, the bell is rung, the world is told."""
    jobs = [request.job for request in submitted]
    _remember_uncommitted(jobs)
    if len(jobs) > 1:
        database.on_commit(dispatch.wake)
    elif jobs[0].ready_at == jobs[0].created_at:  # else it waits for parents or its moment, and rings no bell now
        database.on_commit(lambda: dispatch.submitted(jobs[0]))
    events.submitted(*jobs, log_ids=[request.log_id for request in submitted])


def _remember_uncommitted(jobs: Sequence[Job]) -> None:
    """So that waiting for a job that no worker can see yet is refused at once."""
    connection = database.connection()
    if connection.in_atomic_block:
        _, waiting = _uncommitted(connection)
        pks = {job.pk for job in jobs}
        waiting |= pks
        database.on_commit(lambda: waiting.difference_update(pks))


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
