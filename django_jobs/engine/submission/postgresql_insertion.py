"""One new job in one statement: its key, its row and its log row, and only while what it was made for still holds."""

from __future__ import annotations

import functools
import json
from typing import Any

from django.db import connections, models

from django_jobs.engine.actors import submitter_of
from django_jobs.engine.store import database
from django_jobs.engine.store.chosen import store
from django_jobs.engine.store.postgresql.columns import OLDEST_OPEN, OWN_TRANSACTION
from django_jobs.engine.submission import duplicates
from django_jobs.engine.submission.building import Request
from django_jobs.engine.submission.targets import TargetsChanged, Versions
from django_jobs.exceptions import DuplicateJob
from django_jobs.models import DuplicateKey, ExecutionLog, Job, JobType, get_organization_model
from django_jobs.statuses import UNSUCCESSFUL, Status

#: What differs from job to job; every other column of a new row holds its default.
_GIVEN = (
    "job_type_id",
    "organization_id",
    "organization_name",
    "owner_id",
    "owner_name",
    "priority",
    "input_parameters",
    "metadata",
    "run_at",
    "max_retries",
    "retry_delay",
    "timeout_seconds",
    "job_hash",
    "expires_at",
    "run_after",
    "submitted_by_id",
    "submitted_by_attempt",
)
_COMPUTED = ("id", "created_at", "ready_at")


def insert(request: Request) -> None:
    """Insert it, or find the earlier job of the same work. Raises DuplicateJob and TargetsChanged."""
    job = request.job
    values = job.__dict__
    given = [values[name] for name in _GIVEN]
    given[6], given[7] = json.dumps(given[6]), json.dumps(given[7])
    params = [*(request.targets.versions or ())]
    if request.window:
        params += [job.job_hash, job.job_hash, request.window]
    params += [*given, bool(request.parents), job.run_at, *submitter_of(job)]
    sql = _sql(database.alias(), request.targets.versions is not None, request.window > 0)
    rows = store().fetch(sql, params)
    if not rows:
        request.existing = _existing(request)
        return
    job.pk, job.created_at, job.ready_at, request.log_id = rows[0]
    job._state.adding = False
    job._state.db = database.alias()


def _existing(request: Request) -> Job:
    """Nothing was inserted: type or organization have changed, and with them perhaps window or tenant, or the same
    work came first.
    """
    if request.window and _hold(request.targets.versions):
        for existing in duplicates.find([request.job.job_hash]).values():
            if request.refuses(existing):
                raise DuplicateJob(existing)
            return existing
        duplicates.release_missing([request.job.job_hash])
    raise TargetsChanged


def _hold(versions: Versions | None) -> bool:
    if versions is None:
        return True
    conditions = " AND ".join(_holds(model) for model in (JobType, get_organization_model()))
    return bool(store().fetch(f"SELECT {conditions}", versions)[0][0])


@functools.cache
def _sql(alias: str, has_versions: bool, has_window: bool) -> str:
    """The statement, for targets whose versions are known or not, and for types with a window or without."""
    conditions = [_holds(model) for model in (JobType, get_organization_model())] if has_versions else []
    conditions += [_is_new()] if has_window else []
    defaults = _defaults()
    columns = ", ".join(["id", *(f'"{_column(name)}"' for name in _GIVEN), "created_at", "ready_at", *defaults])
    return f"""
        WITH new AS (
            SELECT nextval('{_sequence(alias)}') AS id {"WHERE" if conditions else ""} {" AND ".join(conditions)}
        ), {_kept() if has_window else ""} job AS (
            INSERT INTO "{Job._meta.db_table}" ({columns})
            SELECT new.id, {", ".join(f"%s::{_kind(name)}" for name in _GIVEN)}, statement_timestamp(),
                CASE WHEN NOT %s THEN greatest(%s::timestamptz, statement_timestamp()) END,
                {", ".join(defaults.values())}
            FROM {"new JOIN kept ON kept.id = new.id" if has_window else "new"}
            RETURNING id, created_at, ready_at, organization_id
        ), logged AS (
            INSERT INTO "{ExecutionLog._meta.db_table}"
                (job_id, from_status, to_status, "timestamp", actor, actor_kind, message, attempt, worker_name,
                traceback, organization_id, transaction_id, oldest_open_id)
            SELECT id, '', '{Status.PENDING}', created_at, %s, %s, '', 0, '', '', organization_id,
                {OWN_TRANSACTION}, {OLDEST_OPEN}
            FROM job
            RETURNING id
        )
        SELECT job.id, created_at, ready_at, logged.id FROM job, logged
    """  # noqa: S608  (names and literals come from the models)


def _holds(model: Any) -> str:
    """Whether the version of a row that was read is still the valid one. Found by its place, so it costs little."""
    return f'EXISTS (SELECT 1 FROM "{model._meta.db_table}" WHERE ctid = %s::tid AND xmin = %s::xid)'  # noqa: S608


def _is_new() -> str:
    """The common refusal, without a lock: the key is there, and its job keeps others out."""
    return (
        f'NOT EXISTS (SELECT 1 FROM "{DuplicateKey._meta.db_table}" k WHERE k.key = %s '  # noqa: S608
        f"AND k.expires_at > statement_timestamp() AND NOT {_is_dead()})"
    )


def _is_dead() -> str:
    dead = ", ".join(f"'{status}'" for status in sorted(UNSUCCESSFUL))
    return f'EXISTS (SELECT 1 FROM "{Job._meta.db_table}" j WHERE j.id = k.job_id AND j.status IN ({dead}))'  # noqa: S608


def _kept() -> str:
    """The key, new or taken over; its conflict decides between simultaneous submissions and waits for open ones."""
    return f"""
        kept AS (
            INSERT INTO "{DuplicateKey._meta.db_table}" AS k (key, job_id, expires_at)
            SELECT %s, id, statement_timestamp() + %s * interval '1 second' FROM new
            ON CONFLICT (key) DO UPDATE SET job_id = excluded.job_id, expires_at = excluded.expires_at
            WHERE k.expires_at <= statement_timestamp() OR {_is_dead()}
            RETURNING job_id AS id
        ),"""  # noqa: S608


def _field(name: str) -> models.Field[Any, Any]:
    return next(field for field in Job._meta.concrete_fields if field.attname == name)


def _column(name: str) -> str:
    return str(_field(name).column)


def _kind(name: str) -> str:
    return str(_field(name).db_type(database.connection())).partition("(")[0]  # a length would cut silently


def _defaults() -> dict[str, str]:
    """Column and literal of every other field that does not start as NULL."""
    literals: dict[str, str] = {}
    for field in Job._meta.concrete_fields:
        if field.attname in _GIVEN or field.attname in _COMPUTED:
            continue
        default = _default(field)
        if default is not None:
            literals[f'"{field.column}"'] = f"'{default}'" if isinstance(default, str) else str(default).lower()
    return literals


def _default(field: models.Field[Any, Any]) -> str | int | bool | None:
    default = field.get_default()
    if default is None or isinstance(default, bool | int):
        return default
    return str(default)


@functools.cache
def _sequence(alias: str) -> str:
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT pg_get_serial_sequence(%s, 'id')", [f'"{Job._meta.db_table}"'])
        return str(cursor.fetchone()[0])
