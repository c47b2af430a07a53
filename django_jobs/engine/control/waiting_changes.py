"""Changing when, and how urgently, waiting jobs run. The caller's transaction holds their rows.

What is changed is ready from now on: a walk over its lane may have passed the place that it had there. A job that has a
ticket goes back to Pending, and gets a new ticket from the lane of its new priority; the old ticket is void.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django_jobs.engine.actors import Actor
from django_jobs.engine.dispatch import dispatcher
from django_jobs.engine.store import database
from django_jobs.engine.store.head_starts import place_in_lane
from django_jobs.engine.transitions import Move, move
from django_jobs.models import ExecutionLog, Job
from django_jobs.statuses import DISPATCHABLE, Priority, Status


def set_priority(
    pks: Sequence[int], priority: Priority, actor: Actor, message: str, operation_id: int | None = None
) -> int:
    """Give these jobs another priority, as far as they wait, and return how many got it."""
    jobs = _read(pks)
    now = database.now()
    # Who says one of the four priorities says no place within it.
    values: dict[str, Any] = {"priority": priority, "head_start": 0, "operation_id": operation_id}
    queued = [job.pk for job in jobs if job.status == Status.QUEUED]
    waiting = [job for job in jobs if job.status in DISPATCHABLE]
    withdrawn = {**values, "ready_at": now, "queued_at": None}
    moves = [Move(pk=pk, to_status=Status.PENDING, message=message, values=withdrawn) for pk in queued]
    moved = move(moves, sources=[Status.QUEUED], actor=actor)
    ready = [job.pk for job in waiting if job.ready_at is not None and job.ready_at <= now]
    held = [job.pk for job in waiting if job.ready_at is None or job.ready_at > now]
    Job.primary.filter(pk__in=ready).update(**values, ready_at=now, is_delayed=False)
    Job.primary.filter(pk__in=held).update(**values)
    _note(waiting, actor, message)
    if moved or ready:
        database.once_on_commit(dispatcher.wake)
    return len(moved) + len(waiting)


def run_now(pks: Sequence[int], actor: Actor, message: str, operation_id: int | None = None) -> int:
    """Let these jobs run without waiting for a moment, as far as they do, and return how many that were.

    Those that wait for other jobs go on waiting for these alone.
    """
    now = database.now()
    waiting = [job for job in _read(pks) if job.status in DISPATCHABLE]
    pending = [job for job in waiting if job.status == Status.PENDING]
    failed = [job.pk for job in waiting if job.status != Status.PENDING and job.ready_at is not None]
    ready = [job.pk for job in pending if job.ready_at is not None]
    held = [job.pk for job in pending if job.ready_at is None]
    due: dict[str, Any] = {"ready_at": place_in_lane(now), "is_delayed": False, "operation_id": operation_id}
    Job.primary.filter(pk__in=ready).update(**due, run_at=now)
    Job.primary.filter(pk__in=failed).update(**due, next_retry_at=now)
    Job.primary.filter(pk__in=held).update(run_at=now, operation_id=operation_id)
    changed = {*ready, *failed, *held}
    _note([job for job in waiting if job.pk in changed], actor, message)
    if ready or failed:
        database.once_on_commit(dispatcher.wake)
    return len(changed)


def _read(pks: Sequence[int]) -> list[Job]:
    rows = Job.primary.filter(pk__in=pks).only("pk", "status", "ready_at", "attempt", "organization_id")
    return list(database.locked(rows, skip=True))


def _note(jobs: Sequence[Job], actor: Actor, message: str) -> None:
    """Write into the Execution Log of each job that something else than its status was changed."""
    now = database.now()
    ExecutionLog.primary.bulk_create(
        [
            ExecutionLog(
                job_id=job.pk,
                from_status=job.status,
                to_status=job.status,
                timestamp=now,
                actor=actor.name,
                actor_kind=actor.kind,
                message=message,
                attempt=job.attempt,
                organization_id=job.organization_id,
            )
            for job in jobs
        ]
    )
