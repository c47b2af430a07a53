"""Writing many requests at once, and what follows the commit of new jobs."""

from __future__ import annotations

from collections.abc import Sequence

from django_jobs.engine.dispatch import dispatcher, ticketing
from django_jobs.engine.store import database
from django_jobs.engine.submission import insertion
from django_jobs.engine.submission.building import Request
from django_jobs.engine.submission.targets import TargetsChanged
from django_jobs.engine.transitions import hooks
from django_jobs.exceptions import InvalidSubmission
from django_jobs.models import Job
from django_jobs.texts import say


def write_all(requests: Sequence[Request]) -> list[Request]:
    """Insert these requests, all or none, and return those whose work was not there already.

    Raises DuplicateJob with the index of the first that is refused, and InvalidSubmission where others submit the same
    work again and again.
    """
    try:
        insertion.insert_all(requests)
    except TargetsChanged as error:
        text = say("Others submit the same at this moment; try again.", code="busy")
        raise InvalidSubmission({"non_field_errors": [text]}) from error
    return [request for request in requests if request.existing is None]


def follow_commit(written: Sequence[Request]) -> None:
    """Once the new jobs are committed, wake the dispatcher and tell the world of them."""
    jobs = [request.job for request in written]
    queued = [request.queued for request in written if request.queued is not None]
    not_taken: list[str] = []
    _remember_uncommitted(jobs)
    if queued:
        # Committed already; but whatever goes wrong now must not reach the caller.
        database.on_commit(lambda: not_taken.append(ticketing.push_new(queued)))
    elif len(jobs) > 1:
        database.once_on_commit(dispatcher.wake)
    elif jobs[0].ready_at and not jobs[0].is_delayed:  # else it waits for parents or its moment, and needs no dispatch
        database.once_on_commit(dispatcher.wake, alone=lambda: dispatcher.dispatch_new(jobs[0]))
    hooks.announcer().submitted(*jobs, log_ids=[request.log_id for request in written])
    hooks.announcer().changed(queued)
    if any(not_taken):  # behind the others, so that each change is announced after the one before it
        database.on_commit(lambda: ticketing.take_back(queued, not_taken[0]))


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
