"""Moving a set on databases without ``UPDATE … RETURNING`` in a CTE: lock and read, update by id, log.

The caller has a transaction open.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from django_jobs.engine.actors import Actor
from django_jobs.engine.store import database
from django_jobs.engine.store.chosen import store
from django_jobs.engine.store.transition_values import ALWAYS, INCREMENT, After, Condition, Move, Moved
from django_jobs.models import DependencyTask, ExecutionLog, Job
from django_jobs.statuses import TERMINAL

#: SQLite's own clock, by which the dispatcher finds what is due, counts in milliseconds.
CLOCK_STEP: Final = dt.timedelta(milliseconds=1)


def _resolve(job: Job, name: str, value: Any, now: dt.datetime) -> Any:
    if value is INCREMENT:
        return getattr(job, name) + 1
    if isinstance(value, After):
        return now + dt.timedelta(seconds=value.seconds)
    return value


def _write(jobs: list[Job], names: tuple[str, ...]) -> None:
    """Update the rows: fields that all share in one plain UPDATE, the rest by CASE."""
    shared: dict[str, Any] = {}
    varying: list[str] = []
    for name in names:
        first = getattr(jobs[0], name)
        if all(getattr(job, name) == first for job in jobs) and not isinstance(first, dict | list):
            shared[name] = first
        else:
            varying.append(name)
    rows = Job.primary.all()
    if varying:
        rows.bulk_update(jobs, varying)
    rows.filter(pk__in=[job.pk for job in jobs]).update(**shared)


def apply_moves(
    moves: Sequence[Move],
    sources: list[str],
    actor: Actor,
    worker_name: str,
    skip_locked: bool,
    only_if: Condition = ALWAYS,
    *,
    only_due: bool = False,
) -> list[Moved]:
    """Move the set inside the open transaction."""
    if only_if is not ALWAYS and not store().fetch(f"SELECT {only_if.sql}", only_if.params)[0][0]:
        return []
    wanted = {item.pk: item for item in moves}
    # No filter on status here: on MariaDB it would lock ranges of that index, in another order than by id.
    rows = Job.primary.filter(pk__in=list(wanted))
    now = database.now()
    moved: list[tuple[Job, Move, str]] = []
    shapes: dict[tuple[str, ...], list[Job]] = defaultdict(list)
    for job in database.locked(rows, skip=skip_locked):
        item = wanted[job.pk]
        if job.status not in sources or (item.attempt is not None and job.attempt != item.attempt):
            continue
        if only_due and (job.ready_at is None or job.ready_at > now + CLOCK_STEP):
            continue
        moved.append((job, item, job.status))
        job.status = item.to_status
        for name, value in item.values.items():
            setattr(job, name, _resolve(job, name, value, now))
        shapes[tuple(item.values)].append(job)
    for names, jobs in shapes.items():
        _write(jobs, ("status", *names))
    logs = [_log(job, item, from_status, now, actor, worker_name) for job, item, from_status in moved]
    ExecutionLog.primary.bulk_create(logs)
    tasks = [DependencyTask(job_id=job.pk) for job, _, _ in moved if job.has_children and job.status in TERMINAL]
    DependencyTask.primary.bulk_create(tasks)
    return [
        _moved(job, item, from_status, actor, worker_name, log.pk)
        for (job, item, from_status), log in zip(moved, logs, strict=True)
    ]


def _log(job: Job, item: Move, from_status: str, now: dt.datetime, actor: Actor, worker_name: str) -> ExecutionLog:
    return ExecutionLog(
        job_id=job.pk,
        from_status=from_status,
        to_status=job.status,
        timestamp=now,
        actor=actor.name,
        actor_kind=actor.kind,
        message=item.message,
        attempt=job.attempt,
        worker_name=worker_name,
        traceback=item.traceback,
        organization_id=job.organization_id,
    )


def _moved(job: Job, item: Move, from_status: str, actor: Actor, worker_name: str, log_id: int) -> Moved:
    return Moved(
        job.pk,
        from_status,
        job.status,
        job.attempt,
        job.job_type_id,
        job.organization_name,
        job.priority,
        job.created_at.year,
        item.message,
        actor,
        worker_name,
        job.has_children,
        log_id,
        job.organization_id,
        job.queued_at,
        item.error,
    )
