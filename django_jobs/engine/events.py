"""What happened, told once: a log line for each change of status, after its commit."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from django_jobs.engine import database
from django_jobs.statuses import Status

if TYPE_CHECKING:
    from django_jobs.engine.transitions.moves import Moved
    from django_jobs.models import Job

logger = logging.getLogger("django_jobs")

_LEVELS = {
    Status.PENDING: logging.DEBUG,
    Status.QUEUED: logging.DEBUG,
    Status.RUNNING: logging.INFO,
    Status.COMPLETED: logging.INFO,
    Status.CANCELED: logging.INFO,
    Status.FAILED: logging.WARNING,
    Status.TIMED_OUT: logging.WARNING,
    Status.DEAD_LETTER: logging.ERROR,
}


def submitted(job: Job) -> None:
    """Tell of a new job when, and only if, it is committed."""
    if logger.isEnabledFor(logging.INFO):
        database.on_commit(lambda: _log_submitted(job))


def announce(moved: Sequence[Moved]) -> None:
    """Tell of these changes when, and only if, they are committed."""
    if moved and logger.isEnabledFor(max(_LEVELS[Status(status)] for status in {item.to_status for item in moved})):
        database.on_commit(lambda: _log(moved))


def _log_submitted(job: Job) -> None:
    logger.info(
        "job_id=%s event=submitted job_type=%s organization=%s owner=%s",
        job.name,
        job.job_type_id,
        job.organization_name,
        job.owner_name or "system",
        extra=fields(job.name, job.job_type_id, job.organization_name, 0, "submitted"),
    )


def _log(moved: Sequence[Moved]) -> None:
    for item in moved:
        event = item.to_status.lower().replace(" ", "_")
        logger.log(
            _LEVELS[Status(item.to_status)],
            "job_id=%s event=%s job_type=%s organization=%s attempt=%s from=%s by=%s %s",
            item.job_id,
            event,
            item.job_type,
            item.organization_name,
            item.attempt,
            item.from_status,
            item.worker_name or item.actor,
            item.message,
            extra=fields(item.job_id, item.job_type, item.organization_name, item.attempt, event),
        )


def fields(job_id: str, job_type: str, organization: str, attempt: int, event: str) -> dict[str, object]:
    """The attributes that each of our log records carries."""
    return {
        "job_id": job_id,
        "job_type": job_type,
        "organization": organization,
        "attempt": attempt,
        "event": event,
    }
