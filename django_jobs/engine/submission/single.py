"""Submitting jobs, one or many: validate, create, and ring the bell once they are committed."""

from __future__ import annotations

import contextlib
import datetime as dt
import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from django_jobs.engine.dispatch import dispatcher
from django_jobs.engine.store import database
from django_jobs.engine.submission import (
    bulk,
    checks,
    duplicates,
    insertion,
    limits,
    replacement,
    resubmission,
    targets,
)
from django_jobs.engine.submission.checks import Request
from django_jobs.engine.submission.errors import Errors
from django_jobs.engine.submission.rights import Doorkeeper
from django_jobs.engine.transitions import hooks
from django_jobs.exceptions import DuplicateJob, InvalidSubmission, JobsError, RetryableRefusal
from django_jobs.models import Job, JobType

MAX_TRIES = 10
#: Seconds; between tries, at random, more of them the longer it goes on.
PAUSE = 0.002


def submit_job(  # noqa: PLR0913  (all that one submission may say)
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
    unique_key: str | None = None,
    deduplication_window: int | None = None,
    timeout: int | None = None,
    max_retries: int | None = None,
    expires_at: dt.datetime | None = None,
    run_after: str = "completed",
) -> Job:
    """Submit one job and return it.

    ``organization`` is an id or an instance; ``priority`` a label or number, by default the type's; ``depends_on`` a
    job or job id, or a list of them, that must complete first, or only end with ``run_after="ended"``; ``user`` the
    owner, whose rights are checked (None: trusted server code); ``run_at`` the moment before which it does not run;
    ``expires_at`` the moment after which it does not start; ``metadata`` a JSON object of up to 4 kB for correlation
    ids and the like. ``timeout`` (seconds, 1 to 30 days) and ``max_retries`` (0 to 100) take the place of the type's.

    ``unique_key``, a text of up to 200 characters, takes the place of the parameters where the same work is looked
    for; ``deduplication_window`` (seconds, 0 to 30 days) that of the type's window. ``on_duplicate`` says what happens
    to the same work within the window: ``"raise"`` DuplicateJob; ``"return"`` the earlier job; or ``"replace"``: the
    earlier job gets these parameters, priority and run_at while it has not started, else it is returned as it is.

    Inside a handler, a later attempt that submits the same work again gets the job that the earlier attempt submitted.

    Inside a transaction the job is as lasting as the transaction, and reaches the broker only if that commits; a
    refusal leaves the transaction usable. Raises InvalidSubmission, whose ``errors`` name each field,
    PermissionDenied, DuplicateJob, QueueFull and RateLimited.
    """
    fields = {
        "parameters": parameters,
        "priority": priority,
        "depends_on": depends_on,
        "run_at": run_at,
        "metadata": metadata,
        "on_duplicate": on_duplicate,
        "unique_key": unique_key,
        "deduplication_window": deduplication_window,
        "timeout": timeout,
        "max_retries": max_retries,
        "expires_at": expires_at,
        "run_after": run_after,
    }
    return submit(job_type, organization, fields, user, Doorkeeper(user))


def submit(job_type: object, organization: Any, fields: Mapping[str, Any], user: Any, doorkeeper: Doorkeeper) -> Job:
    """Submit one job with these fields for an owner; the doorkeeper judges whether the owner may."""
    errors = Errors()
    with named("submit_job", job_type):
        values = checks.check_values(fields, errors)
        for trial in range(MAX_TRIES):
            try:
                request = _examine(job_type, organization, values, user, errors.copy(), doorkeeper)
                return _store(request, user, is_fresh=trial > 0 or request.targets.versions is None)
            except targets.TargetsChanged:
                targets.forget()
                if trial:  # many submit and cancel the same work at once: let one of them get through
                    time.sleep(random.uniform(0, PAUSE * trial))  # noqa: S311
            except DuplicateJob as duplicate:
                duplicates.hide_unseen(duplicate, user)
                raise
            except JobsError:
                if trial or not targets.forget():
                    raise  # judged by what was just read
        raise InvalidSubmission({"job_type": ["The job type or the organization changes at this moment; try again."]})


@contextlib.contextmanager
def named(call: str, job_type: object) -> Iterator[None]:
    """Let a refusal say which submission it refused, for the error text of a handler's job."""
    try:
        yield
    except JobsError as refusal:
        refusal.refused_call = f"{call}({targets.shown(job_type)!r})"
        raise


def _examine(
    job_type: object,
    organization: Any,
    values: checks.Values,
    user: Any,
    errors: Errors,
    doorkeeper: Doorkeeper,
) -> Request:
    found = targets.read(job_type, organization, errors, doorkeeper)
    earlier = None
    if found is not None and not errors and resubmission.is_later_attempt():
        (earlier,) = resubmission.given_back([(values.hash_of(found), values.window_of(found))])
    if found is not None and (earlier is None or values.options.on_duplicate == "replace"):
        checks.check_open(found, errors, is_active=checks.is_active(found))
        checks.check_window(values, found, errors)
        if values.parents:
            checks.check_parents(values, found, checks.read_parents(values.parents, user), errors)
        checks.check_parameters(values, found, errors)
    if errors or found is None:
        raise errors.refusal()
    request = checks.build(found, values, user)
    request.existing = earlier
    return request


def _store(request: Request, user: Any, *, is_fresh: bool) -> Job:
    """Insert the job, or give the one that is there. Raises TargetsChanged where all is to be judged anew."""
    existing = request.existing  # what an earlier attempt submitted
    if existing is None:
        existing = _insert(request, is_fresh=is_fresh)
        if existing is None:
            return request.job
        duplicates.hide_unseen(DuplicateJob(existing), user)
    if request.on_duplicate != "replace":
        return existing
    replaced = replacement.replace(existing, request)
    if replaced is None:
        raise targets.TargetsChanged
    return replaced


def _insert(request: Request, *, is_fresh: bool) -> Job | None:
    """Insert the job, and return the earlier one of the same work where that keeps it out."""
    existing = _find_room(request, is_fresh=is_fresh)
    if existing is None:
        insertion.insert(request)
        existing = request.existing
    if existing is None:
        tell_later([request])
    return existing


def _find_room(request: Request, *, is_fresh: bool) -> Job | None:
    """QueueFull or RateLimited, unless the same work is there already, which needs no room."""
    try:
        limits.check([request.targets])
    except RetryableRefusal:
        key = request.job.job_hash
        existing = duplicates.find([key]).get(key) if request.window and is_fresh else None
        if existing is None:
            raise
        if request.refuses(existing):
            raise DuplicateJob(existing) from None
        return existing
    return None


def submit_jobs(submissions: Iterable[Mapping[str, Any]], *, user: Any = None) -> list[Job]:
    """Submit many jobs, all or nothing, in a few statements; they come back in the given order.

    Each item takes :func:`submit_job`'s arguments by name, without ``user``; ``on_duplicate`` may be ``"raise"`` or
    ``"return"``. InvalidSubmission has every item's errors in ``by_index``; DuplicateJob, RateLimited and QueueFull
    tell the ``index`` of the first culprit.
    """
    items = _as_list(submissions)
    if not items:
        return []
    jobs, submitted = bulk.submit(items, user)
    if submitted:
        tell_later(submitted)
    return jobs


def _as_list(submissions: object) -> list[Any]:
    if isinstance(submissions, str | bytes | Mapping) or not isinstance(submissions, Iterable):
        raise InvalidSubmission({"non_field_errors": ["Give a list of submissions, each an object (a dict)."]})
    return list(submissions)


def tell_later(submitted: Sequence[Request]) -> None:
    """What follows the commit: parents are looked at, the bell is rung, the world is told."""
    jobs = [request.job for request in submitted]
    _remember_uncommitted(jobs)
    if len(jobs) > 1:
        database.on_commit(dispatcher.wake)
    elif jobs[0].ready_at == jobs[0].created_at:  # else it waits for parents or its moment, and rings no bell now
        database.on_commit(lambda: dispatcher.submitted(jobs[0]))
    hooks.announcer().submitted(*jobs, log_ids=[request.log_id for request in submitted])


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
