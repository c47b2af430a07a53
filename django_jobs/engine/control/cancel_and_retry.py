"""What people do to a job: cancel it, retry it."""

from __future__ import annotations

from typing import Any

from django_jobs.engine.access import get_policy
from django_jobs.engine.actors import Actor, actor_for
from django_jobs.engine.dependencies import follow_up
from django_jobs.engine.dispatch import dispatcher
from django_jobs.engine.lookup import find_job
from django_jobs.engine.ports import get_broker
from django_jobs.engine.store import database
from django_jobs.engine.transitions import NOW, Move, move, relatives
from django_jobs.engine.transitions.reset_fields import NEW_LIFE
from django_jobs.exceptions import BrokerUnavailable, InvalidTransition, PermissionDenied
from django_jobs.models import Job, JobDependency
from django_jobs.statuses import RETRYABLE_BY_HAND, WAITING, Status


def cancel_job(job_id: str | Job, *, user: Any = None) -> Job:
    """Cancel a waiting job at once; ask a running one to stop (``cancel_requested_at``). Repeating it is fine.

    Raises JobNotFound, PermissionDenied, and InvalidTransition when the job has already ended otherwise.
    """
    job = find_job(job_id, user)
    if user is not None and not get_policy().can_cancel(user, job):
        raise PermissionDenied(f"You may not cancel {job.name}.")
    actor = actor_for(user)
    worker_name = database.in_transaction(lambda: _cancel(job.pk, actor))
    if worker_name:
        database.on_commit(lambda: _hint(worker_name, job.name))
    return find_job(job.name)


def _cancel(pk: int, actor: Actor) -> str:
    """The name of the worker that must be told, if the job runs."""
    job = database.locked(Job.primary.filter(pk=pk)).get()
    if job.status in WAITING:
        values = {"canceled_at": NOW, "canceled_by": actor.name, "ready_at": None, "next_retry_at": None}
        item = Move(pk=pk, to_status=Status.CANCELED, message="Canceled before it ran", values=values)
        move([item], sources=WAITING, actor=actor)
        return ""
    if job.status == Status.RUNNING:
        if job.cancel_requested_at is None:
            job.cancel_requested_at = database.now()
            job.canceled_by = actor.name
            job.save(update_fields=["cancel_requested_at", "canceled_by"], using=database.alias())
        return str(job.worker_name)
    if job.status != Status.CANCELED:
        raise InvalidTransition(job.name, job.status, "cancel")
    return ""


def _hint(worker_name: str, job_id: str) -> None:
    try:
        get_broker().request_cancel(worker_name, [job_id])
    except BrokerUnavailable:
        return  # the wish is in the database; the worker reads it when it renews its leases


def retry_job(job_id: str | Job, *, user: Any = None) -> Job:
    """Give a job that failed a new life: Pending again, with all its retries. ``attempt`` goes on counting.

    Raises JobNotFound, PermissionDenied, and InvalidTransition when the job has not failed.
    """
    job = find_job(job_id, user)
    if user is not None and not get_policy().can_retry(user, job):
        raise PermissionDenied(f"You may not retry {job.name}.")
    actor = actor_for(user)
    database.in_transaction(lambda: _retry(job, actor))
    database.on_commit(dispatcher.wake)
    return find_job(job.name)


def _retry(job: Job, actor: Actor) -> None:
    hindrance = follow_up.hindrance(job)
    if hindrance is not None and job.status in RETRYABLE_BY_HAND:
        raise InvalidTransition(job.name, job.status, "retry", hindrance)
    has_parents = JobDependency.primary.filter(child_id=job.pk).exists()
    values = {**NEW_LIFE, "ready_at": None if has_parents else NOW}
    item = Move(pk=job.pk, to_status=Status.PENDING, message="Retried by hand", values=values)
    moved = move([item], sources=RETRYABLE_BY_HAND, actor=actor)
    if not moved:
        raise InvalidTransition(job.name, find_job(job.name).status, "retry")
    if has_parents or moved[0].has_children:
        relatives.remind([job.pk])
