"""Having new jobs stored, with all that belongs to them, but for those whose work is there already."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from django.db import OperationalError

from django_jobs.engine.dispatch import short_way
from django_jobs.engine.store import database
from django_jobs.engine.store.chosen import store
from django_jobs.engine.store.insertion_values import LostRace
from django_jobs.engine.submission import duplicates, membership
from django_jobs.engine.submission.building import Request
from django_jobs.engine.submission.targets import TargetsChanged
from django_jobs.engine.transitions import hooks
from django_jobs.exceptions import DuplicateJob
from django_jobs.models import Job

__all__ = ["insert", "insert_all"]

MAX_TRIES = 5


def insert(request: Request) -> None:
    """Write one job, and fill in what the database gave: id, times.

    Where the same work is there, the request gets it as ``existing`` or is refused with DuplicateJob. Raises
    TargetsChanged when type or organization are no longer what the request was made for.
    """
    if not _insert(request):
        request.existing = _existing(request)
    elif request.parents:
        database.once_on_commit(hooks.follow_up)


def _insert(request: Request) -> bool:
    if request.job.batch_id is not None or request.supersedes is not None:
        return database.in_transaction(lambda: _insert_in_steps(request))
    try:
        request.at_once = short_way.at_once(request)
        if request.at_once is not None:
            is_new = short_way.REST.after(lambda: store().insert(request))
            if is_new:  # the same work says nothing of how idle the system is
                short_way.TRIES.note(succeeded=request.queued is not None)
            return is_new
    except OperationalError as error:
        if not (database.was_too_slow(error) or database.is_lost_race(error)):
            raise
        # It looked at what others wait for or write. That is no reason to refuse a job that can be stored without.
    request.at_once = None
    return store().insert(request)


def _insert_in_steps(request: Request) -> bool:
    """Lock the batch behind the key of the work, as for many jobs: the same work needs no batch, and none deadlock."""
    _release_superseded([request])
    is_new = store().insert(request)
    if is_new:
        membership.lock([request])
        membership.count([request])
    return is_new


def _existing(request: Request) -> Job:
    """Return the job of the same work that came first, if it was that.

    Else type or organization have changed, and with them perhaps window or tenant: raises TargetsChanged.
    """
    if request.window and store().holds(request.versions):
        for existing in duplicates.find([request.job.job_hash]).values():
            if request.refuses(existing):
                raise DuplicateJob(existing)
            return existing
        duplicates.release_missing([request.job.job_hash])
    raise TargetsChanged


def insert_all(requests: Sequence[Request]) -> None:
    """Write many jobs, all or nothing. Raises DuplicateJob with the index of the first that is refused."""
    for _ in range(MAX_TRIES):
        with contextlib.suppress(LostRace):
            database.in_transaction(lambda: _insert_all(requests))
            return
        duplicates.release_missing(request.job.job_hash for request in requests if request.window)
    raise TargetsChanged


def _insert_all(requests: Sequence[Request]) -> None:
    store().lock_keys([request.job.job_hash for request in requests if request.window])
    _release_superseded(requests)
    _find_duplicates(requests)
    fresh = [request for request in requests if request.existing is None]
    membership.lock(fresh)
    store().insert_many(fresh)
    membership.count(fresh)
    if any(request.parents for request in fresh):
        database.once_on_commit(hooks.follow_up)


def _release_superseded(requests: Sequence[Request]) -> None:
    """Let the new jobs take the places of those that keep the same work out, unless others were faster."""
    superseded = [request.supersedes for request in requests if request.supersedes is not None]
    if superseded:
        store().lock_keys([job.job_hash for job in superseded])
        duplicates.release(superseded)


def _find_duplicates(requests: Sequence[Request]) -> None:
    keys = {request.job.job_hash for request in requests if request.window}
    found = duplicates.find(keys) if keys else {}
    for index, request in enumerate(requests):
        request.existing = found.get(request.job.job_hash) if request.window else None
        if request.existing is not None and request.refuses(request.existing):
            raise DuplicateJob(request.existing, index)
