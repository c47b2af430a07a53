"""Summing up in the database, in one statement: of some ten thousand rows only the sums travel."""

from __future__ import annotations

import datetime as dt
import functools
from collections import defaultdict

from django_jobs.engine.store import database
from django_jobs.engine.store.aggregates import COUNTED_AS, Place, Tally
from django_jobs.engine.store.histograms import CLASSES_PER_DECADE, LEAST, MOST
from django_jobs.models import ExecutionLog, Job, JobDependency, Span
from django_jobs.statuses import FAILED_FOR_GOOD, Status


def tally(after: int, last: int) -> dict[Place, Tally]:
    """See :func:`django_jobs.engine.insight.aggregates.tally`."""
    tallies: dict[Place, Tally] = defaultdict(Tally)
    with database.connection().cursor() as cursor:
        cursor.execute(_sql(), [after, last])
        rows = cursor.fetchall()
    organizations = ExecutionLog._meta.get_field("organization").target_field
    for minute, job_type, organization, name, counted_as, key, number, seconds, failed in rows:
        pk = organizations.to_python(organization)
        found = tallies[Place(int(Span.MINUTE), minute.astimezone(dt.UTC), job_type, pk)]
        found.organization_name = name
        found.count(counted_as, number)
        found.count("failed", failed)
        if key is not None and counted_as == "completed":
            found.ran(seconds, str(key), number)
        elif key is not None:
            found.waited(seconds, str(key), number)
    return tallies


@functools.cache
def _sql() -> str:
    log, job, link = (model._meta.db_table for model in (ExecutionLog, Job, JobDependency))
    cases = " ".join(f"WHEN to_status = '{status}' THEN '{name}'" for status, name in COUNTED_AS.items())
    counted = ", ".join(f"'{status}'" for status in COUNTED_AS)
    is_first_start = f"to_status = '{Status.RUNNING}' AND attempt = 1"
    is_failed_for_good = "from_status = '{}' AND to_status = '{}'".format(*FAILED_FOR_GOOD)
    # Jobs are looked up by an array of ids: in a join the planner might rather read all jobs. A job that asked to run
    # later has another `run_at` by now, which is not what its first attempt waited for; `greatest` ignores NULL.
    return f"""
        WITH events AS MATERIALIZED (
            SELECT job_id, from_status, to_status, "timestamp", attempt, organization_id FROM "{log}"
            WHERE id > %s AND id <= %s AND (from_status = '' OR to_status IN ({counted}))
        ), jobs AS MATERIALIZED (
            SELECT id, job_type_id, organization_name, created_at, run_at, started_at, completed_at FROM "{job}"
            WHERE id = ANY (ARRAY(SELECT DISTINCT job_id FROM events))
        ), freed AS MATERIALIZED (
            SELECT child_id, max(parent.completed_at) AS freed_at
            FROM "{link}" JOIN "{job}" parent ON parent.id = parent_id
            WHERE child_id = ANY (ARRAY(SELECT job_id FROM events WHERE {is_first_start})) GROUP BY child_id
        ), measured AS (
            SELECT date_trunc('minute', "timestamp") AS starts_at, job_type_id, organization_id, organization_name,
                CASE WHEN from_status = '' THEN 'submitted' {cases} END AS counted_as,
                {is_failed_for_good} AS is_failed_for_good,
                CASE WHEN to_status = '{Status.COMPLETED}'
                    THEN extract(epoch FROM completed_at - coalesce(started_at, completed_at))
                    WHEN {is_first_start}
                    THEN extract(epoch FROM "timestamp" - coalesce(greatest(
                        CASE WHEN created_at <= "timestamp" THEN created_at END,
                        CASE WHEN run_at <= "timestamp" THEN run_at END,
                        CASE WHEN freed_at <= "timestamp" THEN freed_at END), "timestamp"))
                END::double precision AS seconds
            FROM events JOIN jobs ON jobs.id = job_id LEFT JOIN freed ON child_id = job_id
        )
        SELECT starts_at, job_type_id, organization_id, max(organization_name), counted_as,
            CASE WHEN seconds <= 0 THEN {LEAST} WHEN seconds IS NOT NULL
                THEN greatest({LEAST}, least({MOST}, round({CLASSES_PER_DECADE} * log(seconds))::integer)) END AS class,
            count(*), sum(greatest(seconds, 0)), count(*) FILTER (WHERE is_failed_for_good)
        FROM measured GROUP BY starts_at, job_type_id, organization_id, counted_as, class
    """
