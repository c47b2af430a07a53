"""New jobs through the ORM, in a transaction that the caller has open: many anywhere, one where there is no own way."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Sequence

from django_jobs.engine.actors import submitter_of
from django_jobs.engine.store import database
from django_jobs.engine.store.postgresql.columns import OLDEST_OPEN, OWN_TRANSACTION
from django_jobs.engine.submission import duplicates
from django_jobs.engine.submission.building import Request
from django_jobs.engine.transitions import relatives
from django_jobs.exceptions import DuplicateJob
from django_jobs.models import ExecutionLog, Job
from django_jobs.statuses import Status

MAX_ROWS = 2_000
#: Databases take a statement of some 16 MB without being told otherwise.
MAX_BYTES = 4_000_000


def insert_all(requests: Sequence[Request]) -> None:
    """Insert them with all that belongs to them, but for those whose work is there already (``existing``)."""
    duplicates.lock(request.job.job_hash for request in requests if request.window)
    _find_duplicates(requests)
    requests = [request for request in requests if request.existing is None]
    guarded = [request for request in requests if request.window]
    now = database.now()
    jobs = [_ready(request, now) for request in requests]
    for chunk in _chunks(jobs):
        Job.primary.bulk_create(chunk)
    transaction_ids = _transaction_ids()
    logs = [_log(job, now, transaction_ids) for job in jobs]
    ExecutionLog.primary.bulk_create(logs, batch_size=5 * MAX_ROWS)
    for request, log in zip(requests, logs, strict=True):
        request.log_id = log.pk
    if guarded:
        duplicates.keep_out([(request.job.job_hash, request.job.pk, request.window) for request in guarded], now)
    relatives.link([(request.job.pk, request.parents) for request in requests if request.parents])


def _log(job: Job, now: dt.datetime, transaction_ids: tuple[int | None, int | None]) -> ExecutionLog:
    name, kind = submitter_of(job)
    log = ExecutionLog(job_id=job.pk, to_status=Status.PENDING, timestamp=now, actor=name, actor_kind=kind)
    log.organization_id = job.organization_id
    log.transaction_id, log.oldest_open_id = transaction_ids
    return log


def _transaction_ids() -> tuple[int | None, int | None]:
    """What a log row says of the open transaction; only PostgreSQL knows such numbers."""
    if not database.is_postgresql():
        return None, None
    with database.connection().cursor() as cursor:
        cursor.execute(f"SELECT {OWN_TRANSACTION}, {OLDEST_OPEN}")
        own, oldest = cursor.fetchone()
    return own, oldest


def _find_duplicates(requests: Sequence[Request]) -> None:
    keys = {request.job.job_hash for request in requests if request.window}
    found = duplicates.find(keys) if keys else {}
    for index, request in enumerate(requests):
        request.existing = found.get(request.job.job_hash) if request.window else None
        if request.existing is not None and request.refuses(request.existing):
            raise DuplicateJob(request.existing, index)


def _ready(request: Request, now: dt.datetime) -> Job:
    job = request.job
    job.pk = None
    job.created_at = now
    job.ready_at = None if request.parents else max(now, job.run_at or now)
    return job


def _chunks(jobs: Sequence[Job]) -> Iterator[list[Job]]:
    """Sets that one statement may hold."""
    chunk: list[Job] = []
    size = 0
    for job in jobs:
        own = len(json.dumps([job.input_parameters, job.metadata]))
        size += own
        if chunk and (size > MAX_BYTES or len(chunk) == MAX_ROWS):
            yield chunk
            chunk, size = [], own
        chunk.append(job)
    if chunk:
        yield chunk
