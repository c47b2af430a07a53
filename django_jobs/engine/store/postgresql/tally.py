"""Adding up what the Execution Log tells, in the database."""

from __future__ import annotations

import datetime as dt
import functools
from collections import defaultdict
from typing import Any, NamedTuple

from django_jobs.engine.store.aggregates import COUNTED_AS, Place, Tally
from django_jobs.engine.store.base import Store
from django_jobs.engine.store.histograms import CLASSES_PER_DECADE, LEAST, MOST
from django_jobs.models import ExecutionLog, Job, JobDependency, Span
from django_jobs.statuses import FAILED_FOR_GOOD, Status


class _Row(NamedTuple):
    """Like events of one minute, type and organization, of one class of the histogram if they are measured."""

    starts_at: dt.datetime
    job_type: str
    organization: Any
    organization_name: str
    counted_as: str
    histogram_key: int | None
    number: int
    seconds: float
    failed: int


class Tallies(Store):
    """Sums of what happened, in one statement: of some ten thousand rows only the sums travel."""

    def tally(self, after: int, last: int) -> dict[Place, Tally]:
        tallies: dict[Place, Tally] = defaultdict(Tally)
        with self.connection.cursor() as cursor:
            cursor.execute(_sql(), {"after": after, "last": last})
            rows = [_Row(**dict(zip(_columns(), values, strict=True))) for values in cursor.fetchall()]
        organizations = ExecutionLog._meta.get_field("organization").target_field
        for row in rows:
            place = Place(
                span=int(Span.MINUTE),
                starts_at=row.starts_at.astimezone(dt.UTC),
                job_type=row.job_type,
                organization=organizations.to_python(row.organization),
            )
            _add(tallies[place], row)
        return tallies


def _add(found: Tally, row: _Row) -> None:
    found.organization_name = row.organization_name
    found.count(row.counted_as, row.number)
    found.count("failed", row.failed)
    if row.histogram_key is not None:
        measure = found.ran if row.counted_as == "completed" else found.waited
        measure(row.seconds, str(row.histogram_key), row.number)


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
            WHERE id > %(after)s AND id <= %(last)s
                AND (from_status = '' OR (to_status IN ({counted}) AND from_status <> to_status))
        ), jobs AS MATERIALIZED (
            SELECT id, job_type_id, organization_name, created_at, run_at, started_at, completed_at FROM "{job}"
            WHERE id = ANY (ARRAY(SELECT DISTINCT job_id FROM events))
        ), links AS MATERIALIZED (
            SELECT child_id, parent_id FROM "{link}"
            WHERE child_id = ANY (ARRAY(SELECT job_id FROM events WHERE {is_first_start}))
        ), parents AS MATERIALIZED (
            SELECT id, completed_at FROM "{job}" WHERE id = ANY (ARRAY(SELECT DISTINCT parent_id FROM links))
        ), freed AS MATERIALIZED (
            SELECT child_id, max(parents.completed_at) AS freed_at
            FROM links JOIN parents ON parents.id = parent_id GROUP BY child_id
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
        SELECT {", ".join(f"{sql} AS {name}" for name, sql in _columns().items())}
        FROM measured GROUP BY starts_at, job_type_id, organization_id, counted_as, histogram_key
    """


def _columns() -> dict[str, str]:
    """Return what is read, by its name in :class:`_Row`."""
    key = (
        f"CASE WHEN seconds <= 0 THEN {LEAST} WHEN seconds IS NOT NULL "
        f"THEN greatest({LEAST}, least({MOST}, round({CLASSES_PER_DECADE} * log(seconds))::integer)) END"
    )
    return {
        "starts_at": "starts_at",
        "job_type": "job_type_id",
        "organization": "organization_id",
        "organization_name": "max(organization_name)",
        "counted_as": "counted_as",
        "histogram_key": key,
        "number": "count(*)",
        "seconds": "sum(greatest(seconds, 0))",
        "failed": "count(*) FILTER (WHERE is_failed_for_good)",
    }
