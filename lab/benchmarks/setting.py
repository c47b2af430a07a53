"""The stage on which all benchmarks run: organizations, job types, a full backlog, workers."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import psutil
from django.db import connection

from django_jobs.models import (
    Batch,
    BatchChange,
    DuplicateKey,
    EngineLease,
    ExecutionLog,
    Job,
    JobType,
    Organization,
    Worker,
)
from tests.support import verbs
from tests.support.worker_children import children_of

ORGANIZATIONS = 10


def reset() -> list[Organization]:
    """Empty the engine's tables and queues; ten organizations and the benchmark's job types."""
    if connection.vendor != "postgresql":
        raise SystemExit("These benchmarks want PostgreSQL: set DATABASE_URL.")
    with connection.cursor() as cursor:
        tables = ", ".join(model._meta.db_table for model in (Job, ExecutionLog, DuplicateKey, Batch, BatchChange))
        cursor.execute(f"TRUNCATE {tables} RESTART IDENTITY CASCADE")
    Worker.objects.all().delete()
    EngineLease.objects.all().delete()
    verbs.shared_redis().flushdb()
    for name in ("nothing", "clock", "wait", "wait_async", "tell"):
        JobType.objects.update_or_create(
            pk=name,
            defaults={
                "handler_method": f"lab.benchmarks.handlers.{name}",
                "default_timeout": 60,
                "deduplication_window": 0,
            },
        )
    names = [f"BENCH-{number:02}" for number in range(ORGANIZATIONS)]
    Organization.objects.bulk_create([Organization(name=name) for name in names], ignore_conflicts=True)
    return list(Organization.objects.filter(name__in=names).order_by("name"))


class Lane(NamedTuple):
    """Jobs that wait: so many of a type and an organization, each of which gets ``parameters``."""

    job_type: str
    organization: Organization
    jobs: int
    priority: int = 1
    parameters: dict[str, Any] = {}
    lane_key: int = 0


def fill_backlog(jobs: int, job_type: str = "nothing") -> None:
    """So many jobs with their first log rows, shared out evenly, written by SQL because only draining counts."""
    organizations = reset()
    insert_waiting([Lane(job_type, organization, jobs // len(organizations)) for organization in organizations])
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            INSERT INTO {ExecutionLog._meta.db_table} (
                job_id, from_status, to_status, "timestamp", actor, message, attempt, worker_name, traceback,
                organization_id)
            SELECT id, '', 'Pending', created_at, 'system', '', 0, '', '', organization_id FROM {Job._meta.db_table}
            """
        )
        cursor.execute(f"VACUUM ANALYZE {Job._meta.db_table}")


def insert_waiting(lanes: Iterable[Lane]) -> None:
    """Insert the jobs of lanes, without log rows; a lane's jobs stand together in the order of ids."""
    rows = [
        (lane.job_type, lane.organization.pk, lane.organization.name, lane.priority, lane.jobs, lane.lane_key,
         json.dumps(lane.parameters))
        for lane in lanes
    ]  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            INSERT INTO {Job._meta.db_table} (
                job_type_id, organization_id, organization_name, owner_name, status, priority, progress,
                progress_message, input_parameters, metadata, output_reference, error_message, error_type,
                retry_count, max_retries, retry_delay, job_hash, timeout_seconds, created_at, canceled_by,
                has_children, is_orphaned, error_fingerprint,
                attempt, worker_name, ready_at, lane_key)
            SELECT job_type, organization, name, '', 'Pending', priority, 0, '', parameters::jsonb, '{{}}', '', '', '',
                0, 5, 60, '', 60, now(), '', false, false, '', 0, '', now(), lane_key
            FROM unnest(%s::text[], %s::bigint[], %s::text[], %s::int[], %s::int[], %s::bigint[], %s::text[])
                AS lane(job_type, organization, name, priority, jobs, lane_key, parameters)
            CROSS JOIN LATERAL generate_series(1, jobs)
            """,
            [list(column) for column in zip(*rows, strict=True)],
        )


def rewrite() -> None:
    """Write the table of jobs anew, as after :func:`put_into_batches`, so that drains can be compared."""
    with connection.cursor() as cursor:
        cursor.execute(f"VACUUM FULL ANALYZE {Job._meta.db_table}")


def put_into_batches(size: int) -> None:
    """Put the jobs of the backlog into closed batches of so many jobs of one organization each."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH numbered AS (
                SELECT id, organization_id,
                    (row_number() OVER (PARTITION BY organization_id ORDER BY id) - 1) / %s AS part
                FROM {Job._meta.db_table}
            ), batches AS (
                INSERT INTO {Batch._meta.db_table}
                    (organization_id, organization_name, created_at, closed_at, name, total)
                SELECT organization_id, '', now(), now(), organization_id || '/' || part, count(*)
                FROM numbered GROUP BY organization_id, part
                RETURNING id, name
            )
            UPDATE {Job._meta.db_table} j SET batch_id = b.id
            FROM numbered n JOIN batches b ON b.name = n.organization_id || '/' || n.part WHERE n.id = j.id
            """,
            [size],
        )
    rewrite()


@contextlib.contextmanager
def workers(processes: int, threads: int = 1, *options: str) -> Iterator[psutil.Process]:
    """A running ``jobs_worker``."""
    command = [sys.executable, "-m", "django", "jobs_worker", f"--processes={processes}", f"--threads={threads}"]
    command += options
    process = subprocess.Popen(command, env=os.environ)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def child_megabytes(supervisor: psutil.Process) -> list[float]:
    """Memory of each worker child; of what several processes share, each has its part (PSS)."""
    return [child.memory_full_info().pss / 1e6 for child in children_of(supervisor)]
