"""Reading: what happened to a job."""

from __future__ import annotations

from typing import Any

from django_jobs.engine import database
from django_jobs.engine.lookup import find_job
from django_jobs.models import ExecutionLog, Job


def get_job_history(job_id: str | Job, *, user: Any = None) -> list[dict[str, Any]]:
    """The job's Execution Log in order: id, from_status, to_status, timestamp, actor, actor_kind, message,
    attempt.
    """
    job = find_job(job_id, user)
    names = ("id", "from_status", "to_status", "timestamp", "actor", "actor_kind", "message", "attempt")
    return list(ExecutionLog.objects.using(database.alias()).filter(job=job).order_by("id").values(*names))
