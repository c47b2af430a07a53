"""Submitting one job: check its values, read its type and organization, build the job, judge it, insert it."""

from __future__ import annotations

import contextlib
import datetime as dt
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from django.db import OperationalError

from django_jobs.engine import observers, transitions
from django_jobs.engine.access import owner_of
from django_jobs.engine.claimed_job import current_job
from django_jobs.engine.dispatch import dispatcher, new_jobs, tickets
from django_jobs.engine.store import database
from django_jobs.engine.store.database import fresh_reads, store
from django_jobs.engine.store.values import LostRace
from django_jobs.engine.submission import building, same_work, targets
from django_jobs.engine.submission.building import PreparedJob
from django_jobs.engine.submission.targets import Authorizer, TargetsChanged
from django_jobs.engine.submission.values import Errors, Fields, check_fields, naming, refuse_unknown
from django_jobs.exceptions import DuplicateJob, InvalidSubmission, JobsError, RetryableRefusal
from django_jobs.models import Batch, Job, JobType, get_organization_model
from django_jobs.texts import say

if TYPE_CHECKING:
    from django_jobs.engine.claimed_job import Claimed

# Writing many requests at once, and what follows the commit of new jobs.


def write_all(requests: Sequence[PreparedJob]) -> list[PreparedJob]:
    """Insert these requests, all or none, and return those whose work was not there already.

    Raises DuplicateJob with the index of the first that is refused, and InvalidSubmission where others submit the same
    work again and again.
    """
    try:
        insert_jobs(requests)
    except TargetsChanged as error:
        text = say("Others submit the same at this moment; try again.", code="busy")
        raise InvalidSubmission({"non_field_errors": [text]}) from error
    return [request for request in requests if request.existing is None]


def follow_commit(written: Sequence[PreparedJob]) -> None:
    """Once the new jobs are committed, wake the dispatcher and tell the world of them."""
    jobs = [request.job for request in written]
    queued = [request.queued for request in written if request.queued is not None]
    not_taken: list[str] = []
    _remember_uncommitted(jobs)
    if queued:
        # Committed already; but whatever goes wrong now must not reach the caller.
        database.on_commit(lambda: not_taken.append(tickets.push_new(queued)))
    elif len(jobs) > 1:
        database.once_on_commit(dispatcher.wake)
    elif jobs[0].ready_at and not jobs[0].is_delayed:  # else it waits for parents or its moment, and needs no dispatch
        database.once_on_commit(dispatcher.wake, alone=lambda: dispatcher.dispatch_new(jobs[0]))
    transitions.announcer().submitted(*jobs, log_ids=[request.log_id for request in written])
    transitions.announcer().changed(queued)
    if any(not_taken):  # behind the others, so that each change is announced after the one before it
        database.on_commit(lambda: tickets.take_back_tickets(queued, not_taken[0]))


def _remember_uncommitted(jobs: Sequence[Job]) -> None:
    """Remember them until the commit, so that waiting for a job that no worker can see yet is refused at once."""
    if database.connection().in_atomic_block:
        waiting = _uncommitted()
        pks = {job.pk for job in jobs}
        waiting |= pks
        database.on_commit(lambda: waiting.difference_update(pks))


def _uncommitted() -> set[int]:
    """Return the keys of the jobs that were submitted in the outermost transaction that is open."""
    return database.notes("uncommitted", set)


def is_uncommitted(pk: int) -> bool:
    """Return whether this connection's open transaction submitted the job."""
    return bool(database.connection().in_atomic_block and pk in _uncommitted())


# Having new jobs stored, with all that belongs to them, but for those whose work is there already.


MAX_INSERTIONS = 5


def insert_job(request: PreparedJob) -> None:
    """Write one job, and fill in what the database gave: id, times.

    Where the same work is there, the request gets it as ``existing`` or is refused with DuplicateJob. Raises
    TargetsChanged when type or organization are no longer what the request was made for.
    """
    if not _insert(request):
        request.existing = _existing(request)
    elif request.parents:
        database.once_on_commit(transitions.follow_up)


def _insert(request: PreparedJob) -> bool:
    if request.job.batch_id is not None or request.supersedes is not None:
        return database.in_transaction(lambda: _insert_in_steps(request))
    try:
        request.at_once = new_jobs.at_once(request)
        if request.at_once is not None:
            is_new = new_jobs.REST.after(lambda: store().insert(request))
            if is_new:  # the same work says nothing of how idle the system is
                new_jobs.TRIES.note(succeeded=request.queued is not None)
            return is_new
    except OperationalError as error:
        if not (database.was_too_slow(error) or database.is_lost_race(error)):
            raise
        # It looked at what others wait for or write. That is no reason to refuse a job that can be stored without.
    request.at_once = None
    return store().insert(request)


def _insert_in_steps(request: PreparedJob) -> bool:
    """Lock the batch behind the key of the work, as for many jobs: the same work needs no batch, and none deadlock."""
    _release_superseded([request])
    is_new = store().insert(request)
    if is_new:
        building.lock_batches([request])
        building.count_members([request])
    return is_new


def _existing(request: PreparedJob) -> Job:
    """Return the job of the same work that came first, if it was that.

    Else type or organization have changed, and with them perhaps window or tenant: raises TargetsChanged.
    """
    if request.window and store().holds(request.versions):
        for existing in same_work.find_duplicates([request.job.job_hash]).values():
            if request.refuses(existing):
                raise DuplicateJob(existing)
            return existing
        same_work.release_missing_keys([request.job.job_hash])
    raise TargetsChanged


def insert_jobs(requests: Sequence[PreparedJob]) -> None:
    """Write many jobs, all or nothing. Raises DuplicateJob with the index of the first that is refused."""
    for _ in range(MAX_INSERTIONS):
        with contextlib.suppress(LostRace):
            database.in_transaction(lambda: _insert_all(requests))
            return
        same_work.release_missing_keys(request.job.job_hash for request in requests if request.window)
    raise TargetsChanged


def _insert_all(requests: Sequence[PreparedJob]) -> None:
    store().lock_keys([request.job.job_hash for request in requests if request.window])
    _release_superseded(requests)
    _find_duplicates(requests)
    fresh = [request for request in requests if request.existing is None]
    building.lock_batches(fresh)
    store().insert_many(fresh)
    building.count_members(fresh)
    if any(request.parents for request in fresh):
        database.once_on_commit(transitions.follow_up)


def _release_superseded(requests: Sequence[PreparedJob]) -> None:
    """Let the new jobs take the places of those that keep the same work out, unless others were faster."""
    superseded = [request.supersedes for request in requests if request.supersedes is not None]
    if superseded:
        store().lock_keys([job.job_hash for job in superseded])
        same_work.release_keys(superseded)


def _find_duplicates(requests: Sequence[PreparedJob]) -> None:
    keys = {request.job.job_hash for request in requests if request.window}
    found = same_work.find_duplicates(keys) if keys else {}
    for index, request in enumerate(requests):
        request.existing = found.get(request.job.job_hash) if request.window else None
        if request.existing is not None and request.refuses(request.existing):
            raise DuplicateJob(request.existing, index)


# Submitting one job: check its values, read its type and organization, build the job, judge it, insert it.


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
    return submit_or_find(job_type, organization, given, user, Authorizer(user))[0]


def submit_or_find(
    job_type: object, organization: Any, given: Mapping[str, Any], user: Any, authorizer: Authorizer
) -> tuple[Job, bool]:
    """Submit one job with these values for an owner; the authorizer judges whether the owner may.

    Return the job and whether it is new: not where an earlier job does the same work.
    """
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
            request = _build(targets.read_targets(job_type, organization, own, authorizer), fields, user, own)
            job = _store(request, user, is_fresh=trial > 0 or request.targets.versions is None)
            return job, job is request.job
        except targets.TargetsChanged:
            targets.forget_targets()
            if trial:  # many processes submit the same work at once: let one of them get through
                time.sleep(random.uniform(0, PAUSE * trial))  # noqa: S311
        except DuplicateJob as duplicate:
            same_work.hide_unseen(duplicate, user)
            raise
        except JobsError:
            if trial or not targets.forget_targets():
                raise  # the rows that it was judged by were just read
    text = say("The job type or the organization changes at this moment; try again.", code="busy")
    raise InvalidSubmission({"job_type": [text]})


def judge(job_type: object, organization: Any, given: Mapping[str, Any], user: Any) -> None:
    """Raise what a submission of these values would raise, and store nothing. Limits and equal work do not count."""
    errors = Errors()
    fields, authorizer = check_fields(given, errors), Authorizer(user)
    _build(targets.read_targets_now(job_type, organization, errors, authorizer), fields, user, errors)


def _build(found: targets.Targets | None, fields: Fields, user: Any, errors: Errors) -> PreparedJob:
    """Return a request that may be stored. What an earlier attempt submitted is not judged again."""
    if found is None:
        raise errors.refusal()
    request = building.Builder(user).build(fields, found)
    if not errors:
        building.give_back([request])
    if request.existing is None or request.on_duplicate == "replace":
        known = building.read_known([request], user)
        building.check_submission(request, known, errors, is_active=building.is_active(request.targets))
    if errors:
        raise errors.refusal()
    return request


def _store(request: PreparedJob, user: Any, *, is_fresh: bool) -> Job:
    """Insert the job, or return the one that is there. Raises TargetsChanged where all must be judged anew."""
    own = existing = request.existing  # what an earlier attempt submitted
    replaces = request.on_duplicate == "replace"
    if own is not None and replaces and request.window:  # others may have submitted it since
        key = request.job.job_hash
        existing = same_work.find_duplicates([key]).get(key, own)
    if existing is None:
        existing = _insert_if_room(request, is_fresh=is_fresh)
        if existing is None:
            return request.job
    for _ in range(MAX_RIVALS):
        if existing != own:
            same_work.hide_unseen(DuplicateJob(existing), user)
        if not replaces:
            return existing
        if not building.may_replace(existing, user, request.targets.organization):
            raise DuplicateJob(existing)
        replaced = same_work.replace_job(existing, request)
        if replaced is not None:
            return replaced
        request.supersedes, request.existing = existing, None
        existing = _insert_if_room(request, is_fresh=is_fresh)
        if existing is None:
            return request.job
        # Somebody else was faster, whose job is the one to replace.
    raise targets.TargetsChanged


def _insert_if_room(request: PreparedJob, *, is_fresh: bool) -> Job | None:
    """Insert the job, and return the earlier one of the same work where that keeps it out."""
    existing = _find_room(request, is_fresh=is_fresh)
    if existing is None:
        insert_job(request)
        existing = request.existing
    if existing is None:
        follow_commit([request])
    return existing


def _find_room(request: PreparedJob, *, is_fresh: bool) -> Job | None:
    """Raise QueueFull or RateLimited, unless the same work is there already, which needs no room: then return it.

    ``is_fresh`` tells whether type and organization were just read, so that the window is certainly the type's.
    """
    try:
        same_work.check_limits([request.targets])
    except RetryableRefusal:
        key = request.job.job_hash
        existing = same_work.find_duplicates([key]).get(key) if request.window and is_fresh else None
        if existing is None or existing == request.supersedes:
            raise
        if request.refuses(existing):
            raise DuplicateJob(existing) from None
        return existing
    return None


# Submitting from a handler, through its context: for its job's organization, in the name of its job's owner.


def submit_from_handler(claimed: Claimed, job_type: object, parameters: Any, keywords: Mapping[str, Any]) -> Job:
    """Submit a job for the organization of the running one, and return it.

    ``user`` among the keywords takes the place of the owner, and is checked like any user. The organization is found by
    its key, so that it may have another id by now.
    """
    given = {name: value for name, value in keywords.items() if name != "user"}
    refuse_unknown("context.submit_job", given)
    token = current_job.set(claimed)  # threads that the handler started do not know the job
    try:
        with fresh_reads():  # a refusal would end the running job
            owner = keywords["user"] if "user" in keywords else owner_of(claimed.row, claimed.job_id)
            authorizer = Authorizer(owner, is_code="user" not in keywords)
            organization = get_organization_model()(pk=claimed.organization_pk)
            values = {**given, "parameters": parameters}
            return submit_or_find(job_type, organization, values, owner, authorizer)[0]
    finally:
        current_job.reset(token)
