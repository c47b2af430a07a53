"""Many jobs, written by SQL after one that the engine made, and what PostgreSQL believes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from django.db import connection

from django_jobs.models import ExecutionLog, Job, JobType, Organization

JOBS: Final = Job._meta.db_table
LOGS: Final = ExecutionLog._meta.db_table
#: Columns in which they differ from a job that waits for dispatch, as SQL.
WAITING: Final[Mapping[str, str]] = {}
DELAYED: Final = {"is_delayed": "true", "run_at": "now() + interval '1 day'", "ready_at": "now() + interval '1 day'"}
COMPLETED: Final = {
    "status": "'Completed'",
    "ready_at": "NULL",
    "attempt": "1",
    "queued_at": "created_at",
    "started_at": "created_at",
    "completed_at": "created_at",
}
DEAD: Final = {**COMPLETED, "status": "'Dead Letter'", "error_type": "'Permanent'", "error_message": "'it failed'"}


def multiply(
    pattern: Job,
    count: int,
    organizations: Sequence[Organization],
    job_types: Sequence[JobType],
    columns: Mapping[str, str],
) -> None:
    """Make so many jobs like this one but for some columns, with log rows, shared out between these."""
    own = {
        "organization_id": "organizations[1 + n %% cardinality(organizations)]",
        "job_type_id": "job_types[1 + n %% cardinality(job_types)]",
        **columns,
    }
    names = [str(field.column) for field in Job._meta.concrete_fields if field.column != "id"]
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {JOBS} ({', '.join(names)}) SELECT {', '.join(own.get(name, name) for name in names)} "
            f"FROM {JOBS}, generate_series(1, %(count)s) n, "
            "(SELECT %(organizations)s::bigint[], %(job_types)s::text[]) AS given(organizations, job_types) "
            "WHERE id = %(pk)s RETURNING id",
            {
                "organizations": [organization.pk for organization in organizations],
                "job_types": [job_type.pk for job_type in job_types],
                "count": count,
                "pk": pattern.pk,
            },
        )
        first = cursor.fetchone()[0]
    _log(pattern, first)


def _log(pattern: Job, first: int) -> None:
    """As if each had been submitted by itself."""
    own = {
        "job_id": "job.id",
        "organization_id": "job.organization_id",
        "transaction_id": "log.transaction_id - 1000000 + job.id",
    }
    names = [str(field.column) for field in ExecutionLog._meta.concrete_fields if field.column != "id"]
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {LOGS} ({', '.join(names)}) "
            f"SELECT {', '.join(own.get(name, f'log.{name}') for name in names)} "
            f"FROM {JOBS} job JOIN {LOGS} log ON log.job_id = %s WHERE job.id >= %s",
            [pattern.pk, first],
        )


def drain() -> None:
    """Let every job have completed, and vacuum away what each was before."""
    changes = ", ".join(f"{column} = {value}" for column, value in COMPLETED.items())
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {JOBS} SET {changes}")
    vacuum()


def vacuum() -> None:
    """Clear away what rows of jobs were before."""
    with connection.cursor() as cursor:
        cursor.execute(f"VACUUM {JOBS}")


def analyze() -> None:
    """Have PostgreSQL count anew, as autovacuum does at any moment."""
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {JOBS}, {LOGS}, {Organization._meta.db_table}")
