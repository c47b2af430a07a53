"""A long history, written by SQL: jobs of many organizations and types in all statuses, with their log rows.

Reproducible: what is random comes from the row's number.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator
from typing import Any, Final

from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Model

from django_jobs.models import EngineLease, ExecutionLog, Job, JobType, Organization, OrganizationActivity, TypeActivity
from lab.benchmarks import setting
from tests.support import verbs

TYPES: Final = 50
USERS: Final = 200
DAYS: Final = 30
ROLLED_UP_DAYS: Final = 3
#: Changes of status, of which those of the last hour are few even of ten million jobs.
MOST_ROLLED_UP: Final = 200_000
DAY: Final = dt.timedelta(days=1)
#: So many jobs are written at once.
PART: Final = 200_000
#: Organization 0 has a tenth of all jobs.
ORGANIZATION: Final = "CASE WHEN hash(n, 1) < 0.1 THEN 0 ELSE 1 + floor(hash(n, 2) * ({organizations} - 1))::int END"
#: The newest three in a hundred wait, or most of them; of the rest nearly all completed.
STATUS: Final = """
    CASE WHEN n > {size} * 0.97 AND hash(n, 3) < 0.9 THEN 'Pending'
         WHEN n > {size} * 0.97 AND n % ({size} / 2000) = 0 THEN 'Queued'
         WHEN n > {size} * 0.97 AND n % ({size} / 2000) = 1 THEN 'Running'
         WHEN hash(n, 4) < 0.004 THEN 'Dead Letter'
         WHEN hash(n, 4) < 0.006 THEN 'Failed'
         WHEN hash(n, 4) < 0.0065 THEN 'Timed Out'
         WHEN hash(n, 4) < 0.012 THEN 'Canceled'
         ELSE 'Completed' END"""
PRIORITY: Final = """
    CASE WHEN hash(n, 5) < 0.85 THEN 1 WHEN hash(n, 5) < 0.93 THEN 0 WHEN hash(n, 5) < 0.98 THEN 2 ELSE 3 END"""
JOBS: Final = """
    INSERT INTO {job} (
        job_type_id, organization_id, organization_name, owner_id, owner_name, status, priority, progress,
        progress_message, input_parameters, metadata, output_reference, error_message, error_type, error_fingerprint,
        retry_count, max_retries, retry_delay, job_hash, timeout_seconds, created_at, queued_at, started_at,
        completed_at, canceled_at, canceled_by, has_children, is_orphaned, attempt, worker_name, ready_at, result)
    SELECT 'type_' || lpad(floor({types} * hash(n, 6) ^ 2)::text, 2, '0'), o.id, o.name, u.id, coalesce(u.username, ''),
        s, p, 0, '', jsonb_build_object('number', n), '{{}}', '',
        CASE WHEN s IN ('Dead Letter', 'Failed') THEN 'Service ' || n % 7 || ' did not answer' ELSE '' END,
        CASE WHEN s IN ('Dead Letter', 'Failed') THEN 'Transient' ELSE '' END,
        CASE WHEN s IN ('Dead Letter', 'Failed') THEN md5((n % 7)::text) ELSE '' END,
        0, 5, 60, '', 60, t, CASE WHEN s <> 'Pending' THEN t END, CASE WHEN s NOT IN ('Pending', 'Queued') THEN t END,
        CASE WHEN s IN ('Completed', 'Dead Letter') THEN t + hash(n, 8) ^ 3 * interval '60 seconds' END,
        CASE WHEN s = 'Canceled' THEN t END, '', false, false,
        CASE WHEN s IN ('Pending', 'Queued', 'Canceled') THEN 0 ELSE 1 END, '',
        CASE WHEN s = 'Pending' AND n % 100 > 0 THEN t
             WHEN s IN ('Failed', 'Timed Out') THEN now() + interval '1 hour' END,
        CASE WHEN s = 'Completed' THEN '{{"rows": 3}}'::jsonb END
    FROM (
        SELECT n, now() - ({size} - n) * (interval '{days} days' / {size}) AS t, {status} AS s, {priority} AS p,
            {organization} AS o_number, CASE WHEN hash(n, 7) < 0.7 THEN floor(hash(n, 9) * {users})::int END AS u_number
        FROM generate_series({first}, {last}) n
    ) raw
    JOIN {organizations_table} o ON o.name = 'SCALE-' || lpad(o_number::text, 4, '0')
    LEFT JOIN auth_user u ON u.username = 'scale-' || u_number
    ORDER BY n"""
LOGS: Final = """
    INSERT INTO {log} (
        job_id, from_status, to_status, "timestamp", actor, message, attempt, worker_name, traceback, organization_id,
        transaction_id, oldest_open_id)
    SELECT j.id, f, t, CASE WHEN step < 4 THEN j.created_at ELSE coalesce(j.completed_at, j.created_at) END,
        'system', '', 0, '', '', j.organization_id, 1, 1
    FROM {job} j JOIN LATERAL (
        VALUES (1, '', 'Pending'), (2, 'Pending', 'Queued'), (3, 'Queued', 'Running'), (4, 'Running', j.status)
    ) moves(step, f, t) ON step <= CASE WHEN j.status = 'Pending' THEN 1 WHEN j.status = 'Queued' THEN 2
        WHEN j.status = 'Running' THEN 3 ELSE 4 END
    WHERE j.id BETWEEN {first} AND {last}
    ORDER BY j.id, step"""


def create_hash(cursor: Any) -> None:
    """Make the function ``hash`` for this connection: a number from 0 to 1 that looks random, of a row and a salt."""
    cursor.execute(
        "CREATE OR REPLACE FUNCTION pg_temp.hash(n int, salt int) RETURNS float8 LANGUAGE sql IMMUTABLE "
        "AS 'SELECT (hashint8extended(n, salt) & 1073741823) / 1073741824.0::float8'"
    )


def with_hash(sql: str) -> str:
    """Return the statement with calls of the function that :func:`create_hash` made."""
    return sql.replace("hash(n", "pg_temp.hash(n")


@contextlib.contextmanager
def without_indexes(*models: type[Model]) -> Iterator[None]:
    """Let tables have none but their primary keys for a while: many rows are written sooner so."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = ANY(%s) AND indexname NOT LIKE '%%_pkey'",
            [[model._meta.db_table for model in models]],
        )
        indexes = cursor.fetchall()
        for name, _ in indexes:
            cursor.execute(f'DROP INDEX "{name}"')
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SET maintenance_work_mem = '512MB'")
            for _, definition in indexes:
                cursor.execute(definition)


def fill(size: int, organizations: int = 0, backlog: int = 0) -> None:
    """Replace everything by so many jobs and what the scheduler would keep; ``backlog`` more wait, the newest.

    Of a thousandth as many organizations, unless their number is given.
    """
    setting.reset()
    organizations = organizations or size // 1_000
    for model in (TypeActivity, OrganizationActivity, JobType, EngineLease):
        model.objects.all().delete()
    JobType.objects.bulk_create(
        JobType(pk=f"type_{number:02}", handler_method="lab.benchmarks.handlers.nothing", deduplication_window=0)
        for number in range(TYPES)
    )
    Organization.objects.all().delete()
    Organization.objects.bulk_create(Organization(name=f"SCALE-{number:04}") for number in range(organizations))
    User.objects.bulk_create([User(username=f"scale-{number}") for number in range(USERS)], ignore_conflicts=True)
    names = {
        "size": size + backlog, "types": TYPES, "users": USERS, "days": DAYS, "job": Job._meta.db_table,
        "log": ExecutionLog._meta.db_table, "organizations_table": Organization._meta.db_table, "priority": PRIORITY,
        "status": f"CASE WHEN n > {size} THEN 'Pending' ELSE {STATUS.format(size=size)} END",
        "organization": ORGANIZATION.format(organizations=organizations),
    }  # fmt: skip
    with connection.cursor() as cursor:
        create_hash(cursor)
        with without_indexes(Job, ExecutionLog):
            # Part by part, so that none is sorted on disk. The primary keys are the numbers.
            for first in range(1, size + backlog + 1, PART):
                part = names | {"first": first, "last": min(size + backlog, first + PART - 1)}
                cursor.execute(with_hash(JOBS.format(**part)))
                cursor.execute(LOGS.format(**part))
    # Of older days the activity would take long to write, and nothing here reads it.
    newest = ExecutionLog.objects.order_by("-pk")[0].pk
    old = newest - min(MOST_ROLLED_UP, int(newest * ROLLED_UP_DAYS / DAYS))
    EngineLease.objects.create(name="rollups", state={"done": old})
    while verbs.rollups_behind():
        verbs.roll_up()
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
