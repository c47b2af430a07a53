"""Writing a new job with its first log row: one statement on PostgreSQL, a transaction elsewhere."""

from __future__ import annotations

import functools
import json
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from django_jobs.engine import database
from django_jobs.models import ExecutionLog, Job
from django_jobs.statuses import Status


def actor_of(job: Job) -> str:
    return job.owner_name or "system"


def insert_job(job: Job) -> None:
    """Write the row and its log row, and fill in what the database gave: id, times."""
    if database.is_postgresql():
        _insert_postgresql(job)
    else:
        database.in_transaction(lambda: _insert_portable(job))


def _insert_portable(job: Job) -> None:
    now = database.now()
    job.created_at = now
    job.ready_at = max(now, job.run_at) if job.run_at else now
    job.save(force_insert=True, using=database.alias())
    ExecutionLog.objects.using(database.alias()).create(
        job=job, to_status=Status.PENDING, timestamp=now, actor=actor_of(job)
    )


@functools.cache
def _plan() -> tuple[str, tuple[tuple[str, bool], ...]]:
    """The statement, and the (attribute, is JSON) of each of its parameters."""
    fields: list[models.Field[Any, Any]] = [
        field for field in Job._meta.concrete_fields if field.name not in {"id", "created_at", "ready_at"}
    ]
    columns = ", ".join(f'"{field.column}"' for field in fields)
    marks = ", ".join(["%s"] * len(fields))
    sql = f"""
        WITH job AS (
            INSERT INTO "{Job._meta.db_table}" ({columns}, created_at, ready_at)
            VALUES ({marks}, statement_timestamp(), greatest(%s::timestamptz, statement_timestamp()))
            RETURNING id, created_at, ready_at
        ), logged AS (
            INSERT INTO "{ExecutionLog._meta.db_table}"
                (job_id, from_status, to_status, "timestamp", actor, message, attempt, worker_name, traceback)
            SELECT id, '', '{Status.PENDING}', created_at, %s, '', 0, '', '' FROM job
        )
        SELECT id, created_at, ready_at FROM job
    """  # noqa: S608  (names come from the models)
    return sql, tuple((field.attname, isinstance(field, models.JSONField)) for field in fields)


def _insert_postgresql(job: Job) -> None:
    sql, attributes = _plan()
    params: list[Any] = []
    for name, is_json in attributes:
        value = getattr(job, name)
        if is_json and value is not None:
            value = json.dumps(value, cls=DjangoJSONEncoder)
        elif name == "status":
            value = str(value)
        params.append(value)
    with database.connection().cursor() as cursor:
        cursor.execute(sql, [*params, job.run_at, actor_of(job)])
        job.pk, job.created_at, job.ready_at = cursor.fetchone()
    job._state.adding = False
    job._state.db = database.alias()
