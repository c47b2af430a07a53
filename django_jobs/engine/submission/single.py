"""Submitting one job: check its values, read its type and organization, build the job, judge it, insert it."""

from __future__ import annotations

import datetime as dt
import random
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from django_jobs.engine import observers
from django_jobs.engine.submission import (
    building,
    checks,
    duplicates,
    insertion,
    limits,
    membership,
    replacement,
    targets,
    writing,
)
from django_jobs.engine.submission.building import Request
from django_jobs.engine.submission.errors import Errors, naming
from django_jobs.engine.submission.fields import Fields, check_fields
from django_jobs.engine.submission.rights import Authorizer
from django_jobs.exceptions import DuplicateJob, InvalidSubmission, JobsError, RetryableRefusal
from django_jobs.models import Batch, Job, JobType
from django_jobs.texts import say

MAX_TRIES: Final = 10
#: How often somebody else may be faster whose job is to be replaced, before all is judged anew.
MAX_RIVALS: Final = 10
#: Seconds. Before its n-th try, a submission pauses for a random time of up to n - 2 of these.
PAUSE: Final = 0.002


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
    batch: str | Batch | None = None,
) -> Job:
    """Submit one job and return it.

    ``organization`` is an id or an instance, or None for work of no tenant, which is that of the organization that the
    setting SYSTEM_ORGANIZATION names; ``priority`` a label or number, by default the type's; ``depends_on`` a job or
    job id, or a list of them, that must complete first, or only end with ``run_after="ended"``; ``user`` the owner,
    whose rights are checked (None: trusted server code); ``run_at`` the moment before which it does not run;
    ``expires_at`` the moment after which it does not start; ``metadata`` a JSON object of up to 4 kB for correlation
    ids and the like. ``timeout`` (seconds, 1 to 30 days) and ``max_retries`` (0 to 100) take the place of the type's.
    ``batch`` is the batch, or its id, that the job counts for.

    ``unique_key``, a text of up to 200 characters, takes the place of the parameters where the same work is looked
    for; ``deduplication_window`` (seconds, 0 to 30 days) that of the type's window. ``on_duplicate`` says what happens
    to the same work within the window: ``"raise"`` DuplicateJob; ``"return"`` the earlier job; or ``"replace"`` it.
    Then the earlier job gets these parameters, priority and run_at. Where it has started, or a worker has claimed it
    already, there is a new job instead. Later submissions replace that one.

    Inside a handler, a later attempt that submits the same work again gets the job that the earlier attempt submitted.

    Inside a transaction the job is as lasting as the transaction, and reaches the broker only if that commits; a
    refusal leaves the transaction usable. Raises InvalidSubmission, whose ``errors`` name each field,
    PermissionDenied, DuplicateJob, QueueFull and RateLimited.
    """
    given = {
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
        "batch": batch,
    }
    return submit(job_type, organization, given, user, Authorizer(user))


def submit(job_type: object, organization: Any, given: Mapping[str, Any], user: Any, authorizer: Authorizer) -> Job:
    """Submit one job with these values for an owner, and return it; the authorizer judges whether the owner may."""
    return submit_or_find(job_type, organization, given, user, authorizer)[0]


def submit_or_find(
    job_type: object, organization: Any, given: Mapping[str, Any], user: Any, authorizer: Authorizer
) -> tuple[Job, bool]:
    """Do the same, and return the job and whether it is new: not where an earlier job does the same work."""
    with naming("submit_job", job_type), observers.submission(job_type) as submission:
        job, is_new = _submit(job_type, organization, given, user, authorizer)
        submission.jobs = [job]
        return job, is_new


def _submit(
    job_type: object, organization: Any, given: Mapping[str, Any], user: Any, authorizer: Authorizer
) -> tuple[Job, bool]:
    errors = Errors()
    fields = check_fields(given, errors)
    for trial in range(MAX_TRIES):
        if trial:
            authorizer.forget()
        try:
            own = errors.copy()
            request = _build(targets.read(job_type, organization, own, authorizer), fields, user, own)
            job = _store(request, user, is_fresh=trial > 0 or request.targets.versions is None)
            return job, job is request.job
        except targets.TargetsChanged:
            targets.forget()
            if trial:  # many processes submit the same work at once: let one of them get through
                time.sleep(random.uniform(0, PAUSE * trial))  # noqa: S311
        except DuplicateJob as duplicate:
            duplicates.hide_unseen(duplicate, user)
            raise
        except JobsError:
            if trial or not targets.forget():
                raise  # the rows that it was judged by were just read
    text = say("The job type or the organization changes at this moment; try again.", code="busy")
    raise InvalidSubmission({"job_type": [text]})


def judge(job_type: object, organization: Any, given: Mapping[str, Any], user: Any) -> None:
    """Raise what :func:`submit` would raise for these values, and store nothing. Limits and equal work do not count."""
    errors = Errors()
    fields, authorizer = check_fields(given, errors), Authorizer(user)
    _build(targets.read_now(job_type, organization, errors, authorizer), fields, user, errors)


def _build(found: targets.Targets | None, fields: Fields, user: Any, errors: Errors) -> Request:
    """Return a request that may be stored. What an earlier attempt submitted is not judged again."""
    if found is None:
        raise errors.refusal()
    request = building.Builder(user).build(fields, found)
    if not errors:
        building.give_back([request])
    if request.existing is None or request.on_duplicate == "replace":
        known = checks.read_known([request], user)
        checks.check(request, known, errors, is_active=checks.is_active(request.targets))
    if errors:
        raise errors.refusal()
    return request


def _store(request: Request, user: Any, *, is_fresh: bool) -> Job:
    """Insert the job, or return the one that is there. Raises TargetsChanged where all must be judged anew."""
    own = existing = request.existing  # what an earlier attempt submitted
    replaces = request.on_duplicate == "replace"
    if own is not None and replaces and request.window:  # others may have submitted it since
        key = request.job.job_hash
        existing = duplicates.find([key]).get(key, own)
    if existing is None:
        existing = _insert(request, is_fresh=is_fresh)
        if existing is None:
            return request.job
    for _ in range(MAX_RIVALS):
        if existing != own:
            duplicates.hide_unseen(DuplicateJob(existing), user)
        if not replaces:
            return existing
        if not membership.may_replace(existing, user, request.targets.organization):
            raise DuplicateJob(existing)
        replaced = replacement.replace(existing, request)
        if replaced is not None:
            return replaced
        request.supersedes, request.existing = existing, None
        existing = _insert(request, is_fresh=is_fresh)
        if existing is None:
            return request.job
        # Somebody else was faster, whose job is the one to replace.
    raise targets.TargetsChanged


def _insert(request: Request, *, is_fresh: bool) -> Job | None:
    """Insert the job, and return the earlier one of the same work where that keeps it out."""
    existing = _find_room(request, is_fresh=is_fresh)
    if existing is None:
        insertion.insert(request)
        existing = request.existing
    if existing is None:
        writing.follow_commit([request])
    return existing


def _find_room(request: Request, *, is_fresh: bool) -> Job | None:
    """Raise QueueFull or RateLimited, unless the same work is there already, which needs no room: then return it.

    ``is_fresh`` tells whether type and organization were just read, so that the window is certainly the type's.
    """
    try:
        limits.check([request.targets])
    except RetryableRefusal:
        key = request.job.job_hash
        existing = duplicates.find([key]).get(key) if request.window and is_fresh else None
        if existing is None or existing == request.supersedes:
            raise
        if request.refuses(existing):
            raise DuplicateJob(existing) from None
        return existing
    return None
