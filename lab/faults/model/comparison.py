"""Where the engine's rows and the model differ."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Final

from django_jobs.statuses import AWAITING_RETRY, AWAITING_TURN, Status
from lab.faults.model.commands import Seen
from lab.faults.model.engine import Row
from lab.faults.model.job import ModelJob
from lab.faults.model.table import Table

#: Seconds that may pass by themselves in one example; the model's moments are further apart.
TOLERANCE: Final = 40.0


def adopt(table: Table, seen: Seen) -> None:
    """Follow what somebody dispatched meanwhile: whoever submits, retries or releases a child may do so."""
    for pk, job in table.jobs.items():
        if pk in seen and seen[pk].status == Status.QUEUED and table.may_be_dispatched(job):
            table.queue(job)


def differences(table: Table, seen: Seen, now: dt.datetime) -> list[str]:
    """What is not equal, a line each."""
    found = [f"job {pk} is not in the model" for pk in seen.keys() - table.jobs.keys()]
    for pk, job in table.jobs.items():
        found += _of_job(job, seen[pk], table, now) if pk in seen else [f"job {pk} is gone"]
    return found


def is_equal(table: Table, pk: int, row: Row, now: dt.datetime) -> bool:
    """Whether a job is as the model has it, or was dispatched since."""
    job = table.jobs[pk]
    if row.status == Status.QUEUED and table.may_be_dispatched(job):
        return True
    return not [*_of_job(job, row, table, now)]


def _of_job(job: ModelJob, row: Row, table: Table, now: dt.datetime) -> Iterator[str]:
    expected = {
        "status": (job.status, row.status),
        "attempt": (job.attempt, row.attempt),
        "retry_count": (job.retry_count, row.retry_count),
        "max_retries": (job.max_retries, row.max_retries),
        "kind": (job.kind, row.job_type_id),
        "run after": (job.run_after, row.run_after),
        "priority": (job.priority, row.priority),
        "is_orphaned": (job.orphaned, row.is_orphaned),
        "cancel requested": (job.cancel, row.cancel_requested_at is not None),
        "expires": (job.expires is not None, row.expires_at is not None),
        "next retry": (job.status in AWAITING_RETRY, row.next_retry_at is not None),
    }
    if job.status != Status.COMPLETED:  # which nothing moves on
        expected["begun"] = (job.begun, row.begun_attempt)
    if job.status == Status.RUNNING:
        expected["worker"] = (job.worker, row.worker_name)
    if job.status in AWAITING_TURN:
        expected["started"] = (job.started, row.started_at is not None)
    for name, (wanted, is_so) in expected.items():
        if wanted != is_so:
            yield f"job {job.pk}: {name} is {is_so!r} and should be {wanted!r}"
    moments = {"ready": (job.ready, row.ready_at), "lease": (job.lease, row.lease_expires_at)}
    for name, (wanted_at, is_at) in moments.items():
        if not _is_same(wanted_at, is_at, table, now):
            yield f"job {job.pk}: {name} is {is_at} (now {now}) and should be {wanted_at} (now {table.now})"


def _is_same(wanted: int | None, found: dt.datetime | None, table: Table, now: dt.datetime) -> bool:
    if wanted is None or found is None:
        return wanted is None and found is None
    return abs((found - now).total_seconds() - (wanted - table.now)) < TOLERANCE + 5
