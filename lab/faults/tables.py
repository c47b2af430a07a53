"""The tables that the auditor looks at, each read by one statement."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django_jobs.models import DependencyTask, DuplicateKey, ExecutionLog, Job, JobDependency, JobType


class JobRow(NamedTuple):
    """The columns of a job that the auditor judges."""

    pk: int
    status: str
    job_type_id: str
    organization_id: Any
    attempt: int
    retry_count: int
    max_retries: int
    priority: int
    progress: int
    error_message: str
    error_type: str
    job_hash: str
    worker_name: str
    canceled_by: str
    run_after: str
    has_children: bool
    is_orphaned: bool
    created_at: dt.datetime
    ready_at: dt.datetime | None
    next_retry_at: dt.datetime | None
    queued_at: dt.datetime | None
    started_at: dt.datetime | None
    completed_at: dt.datetime | None
    canceled_at: dt.datetime | None
    cancel_requested_at: dt.datetime | None
    lease_expires_at: dt.datetime | None


class Change(NamedTuple):
    """One row of the Execution Log."""

    job_id: int
    id: int
    from_status: str
    to_status: str
    attempt: int
    message: str
    reason: str
    actor_kind: str
    worker_name: str
    timestamp: dt.datetime
    organization_id: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """All rows. ``histories`` has each job's log in order, ``parents`` the parents of each child."""

    jobs: Mapping[int, JobRow]
    histories: Mapping[int, Sequence[Change]]
    parents: Mapping[int, Sequence[int]]
    tasks: frozenset[int]
    keys: Sequence[tuple[str, int]]
    types: Mapping[str, JobType]


def read_tables() -> Tables:
    jobs = (JobRow(*values) for values in Job.primary.order_by("pk").values_list(*JobRow._fields))
    histories: dict[int, list[Change]] = defaultdict(list)
    for values in ExecutionLog.primary.order_by("job_id", "id").values_list(*Change._fields):
        histories[values[0]].append(Change(*values))
    parents: dict[int, list[int]] = defaultdict(list)
    for child, parent in JobDependency.primary.order_by("child_id", "parent_id").values_list("child_id", "parent_id"):
        parents[child].append(parent)
    return Tables(
        jobs={job.pk: job for job in jobs},
        histories=histories,
        parents=parents,
        tasks=frozenset(DependencyTask.primary.values_list("job_id", flat=True)),
        keys=list(DuplicateKey.primary.order_by("pk").values_list("key", "job_id")),
        types=JobType.primary.in_bulk(),
    )
