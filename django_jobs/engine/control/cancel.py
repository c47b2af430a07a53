"""Canceling a job: a waiting one ends at once, a running one is asked to stop."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from django_jobs.engine.access import get_policy
from django_jobs.engine.actors import Actor, actor_for
from django_jobs.engine.lookup import find_among, find_job
from django_jobs.engine.ports import get_broker
from django_jobs.engine.store import database
from django_jobs.engine.transitions import NOW, Move, move
from django_jobs.exceptions import BrokerUnavailable, InvalidTransition, PermissionDenied
from django_jobs.models import Job
from django_jobs.statuses import WAITING, Status
from django_jobs.texts import say

MESSAGE: Final = say("Canceled before it ran", code="canceled")
NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


def cancel_job(job_id: str | Job, *, user: Any = None) -> Job:
    """Cancel a waiting job at once; ask a running one to stop (``cancel_requested_at``). Return it as it is then.

    A job that is canceled already stays as it is. Raises JobNotFound, PermissionDenied, and InvalidTransition when the
    job has already ended otherwise.
    """
    job = find_job(job_id, user)
    if user is not None and not get_policy().can_cancel(user, job):
        raise PermissionDenied(say("You may not cancel %(job)s.", code="permission_denied", job=job.name))
    actor = actor_for(user)
    worker_name = database.in_transaction(lambda: _cancel(job.name, actor))
    if worker_name:
        database.on_commit(lambda: _tell_worker(worker_name, [job.name]))
    return find_job(job.name)


def _cancel(job_id: str, actor: Actor) -> str:
    """Return the name of the worker that must be told, if the job runs."""
    job = find_among(database.locked(Job.primary.all()), job_id)
    if job.status in WAITING:
        move([_canceled(job.pk, actor)], sources=WAITING, actor=actor)
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


class Canceled(NamedTuple):
    """How many jobs were canceled, and how many run and were asked to stop."""

    canceled: int
    asked: int


def cancel_many(
    pks: Sequence[int], actor: Actor, *, message: str = MESSAGE, operation_id: int | None = None
) -> Canceled:
    """Cancel those of these jobs that wait, and ask those that run to stop, in the transaction that is open.

    Jobs that have ended are left out, and so are those whose rows somebody holds. Return how many were canceled or
    asked just now.
    """
    rows = Job.primary.filter(pk__in=pks).only("pk", "status", "created_at", "worker_name", "cancel_requested_at")
    jobs = list(database.locked(rows, skip=True))
    mark: dict[str, Any] = {} if operation_id is None else {"operation_id": operation_id}
    waiting = [_canceled(job.pk, actor, message, mark) for job in jobs if job.status in WAITING]
    running = [job for job in jobs if job.status == Status.RUNNING and job.cancel_requested_at is None]
    asked = Job.primary.filter(pk__in=[job.pk for job in running])
    asked.update(cancel_requested_at=database.now(), canceled_by=actor.name, **mark)
    told: dict[str, list[str]] = defaultdict(list)
    for job in running:
        told[job.worker_name].append(job.name)
    for name, job_ids in told.items():
        database.on_commit(functools.partial(_tell_worker, name, job_ids))
    return Canceled(len(move(waiting, sources=WAITING, actor=actor)), len(running))


def _canceled(pk: int, actor: Actor, message: str = MESSAGE, more: Mapping[str, Any] = NOTHING) -> Move:
    values = {"canceled_at": NOW, "canceled_by": actor.name, "ready_at": None, "next_retry_at": None, **more}
    return Move(pk=pk, to_status=Status.CANCELED, message=message, values=values)


def _tell_worker(worker_name: str, job_ids: list[str]) -> None:
    try:
        get_broker().request_cancel(worker_name, job_ids)
    except BrokerUnavailable:
        return  # the request is in the database; the worker reads it when it renews its leases
