"""Retrying by hand: one job, or many Dead Letters in a few statements. Each starts over with all its retries."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

from django_jobs.engine.access import get_policy
from django_jobs.engine.actors import Actor, actor_for
from django_jobs.engine.dependencies import follow_up
from django_jobs.engine.dispatch import dispatcher
from django_jobs.engine.lookup import find_job
from django_jobs.engine.store import database
from django_jobs.engine.transitions import NOW, Move, Moved, move, relatives
from django_jobs.engine.transitions.reset_fields import RESET_FIELDS
from django_jobs.exceptions import InvalidTransition, PermissionDenied
from django_jobs.models import Job, JobDependency
from django_jobs.statuses import RETRYABLE_BY_HAND, Status
from django_jobs.texts import say

MESSAGE: Final = say("Retried by hand", code="retried")


def retry_job(job_id: str | Job, *, user: Any = None) -> Job:
    """Start a job over that failed, and return it: Pending again, with all its retries. ``attempt`` goes on counting.

    Raises JobNotFound, PermissionDenied, and InvalidTransition when the job has not failed, or when a job that it waits
    for ended without completing.
    """
    job = find_job(job_id, user)
    if user is not None and not get_policy().can_retry(user, job):
        raise PermissionDenied(say("You may not retry %(job)s.", code="permission_denied", job=job.name))
    actor = actor_for(user)
    database.in_transaction(lambda: _retry(job, actor))
    database.once_on_commit(dispatcher.wake)
    return find_job(job.name)


def _retry(job: Job, actor: Actor) -> None:
    hindrance = follow_up.hindrance(job)
    if hindrance is not None and job.status in RETRYABLE_BY_HAND:
        raise InvalidTransition(job.name, job.status, "retry", hindrance)
    has_parents = JobDependency.primary.filter(child_id=job.pk).exists()
    item = _reset(job.pk, MESSAGE, has_parents=has_parents)
    moved = move([item], sources=RETRYABLE_BY_HAND, actor=actor)
    if not moved:
        raise InvalidTransition(job.name, find_job(job.name).status, "retry")
    if has_parents or moved[0].has_children:
        relatives.remind([job.pk])


def _reset(pk: int, message: str, *, has_parents: bool, operation_id: int | None = None) -> Move:
    """Return the move of a job that starts over. One with parents is ready only when they have been looked at."""
    values = {**RESET_FIELDS, "ready_at": None if has_parents else NOW, "operation_id": operation_id}
    return Move(pk=pk, to_status=Status.PENDING, message=message, values=values)


class Retried(NamedTuple):
    """How many jobs start over, and how many do not since a job that they wait for ended without completing."""

    moved: int
    held: int


def retry_many(
    pks: Sequence[int],
    *,
    message: str,
    actor: Actor,
    sources: Collection[str] = (Status.DEAD_LETTER,),
    operation_id: int | None = None,
) -> Retried:
    """Start these jobs over, in the transaction that is open; those that are in none of ``sources`` are left out.

    ``operation_id`` is the operation that does it, by whose outcome they count from now on.
    """
    links = JobDependency.primary.filter(child_id__in=pks)
    with_parents = set(links.values_list("child_id", flat=True))
    held = follow_up.without_hope(pks)
    free = [pk for pk in pks if pk not in held]
    moved: list[Moved] = []
    # Those with parents and those without write other values, and so are two statements.
    for has_parents in (False, True):
        chosen = [pk for pk in free if (pk in with_parents) == has_parents]
        moves = [_reset(pk, message, has_parents=has_parents, operation_id=operation_id) for pk in chosen]
        moved += move(moves, sources=sources, actor=actor)
    relatives.remind(item.pk for item in moved if item.has_children or item.pk in with_parents)
    if moved:
        database.once_on_commit(dispatcher.wake)
    return Retried(len(moved), len(held))
