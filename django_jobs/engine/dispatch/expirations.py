"""Ending jobs that did not start in time: none of their attempts begins after ``expires_at``.

The claim refuses what has expired, exactly, by the database's clock. What nobody claims is found here by an index that
holds only waiting jobs with such a moment, the earliest first, so that looking costs what is found.
"""

from __future__ import annotations

import time
from typing import Any, Final

from django_jobs.engine.actors import SCHEDULER, SYSTEM
from django_jobs.engine.store import database
from django_jobs.engine.store.chosen import store
from django_jobs.engine.transitions import NOW, Move, move
from django_jobs.models import Job
from django_jobs.statuses import WAITING, Status
from django_jobs.texts import say

BATCH: Final = 500
#: How long a tick of the scheduler may spend on it.
TICK_SECONDS: Final = 0.5
EXPIRED: Final = say("Expired", code="expired")


def expire() -> int:
    """End waiting jobs whose time is over, for TICK_SECONDS at most; how many ended.

    Rows that somebody holds are left for the next call.
    """
    until = time.monotonic() + TICK_SECONDS
    total = 0
    while True:
        ended = _one_batch()
        total += ended
        if ended < BATCH or time.monotonic() >= until:
            return total


def _one_batch() -> int:
    found = store().overdue_jobs(BATCH)
    return database.in_transaction(lambda: _end(found)) if found else 0


def move_of(pk: int, attempt: int | None = None) -> Move:
    """Return the end of a job whose time is over."""
    values: dict[str, Any] = {"canceled_at": NOW, "canceled_by": SYSTEM.name, "ready_at": None, "next_retry_at": None}
    values |= {"error_message": EXPIRED, "error_type": "", "error_fingerprint": ""}
    return Move(pk=pk, to_status=Status.CANCELED, attempt=attempt, message=EXPIRED, values=values)


def _end(pks: list[int]) -> int:
    """Judged again under the lock: a retry by hand may have taken the moment away."""
    now = database.now()
    rows = Job.primary.filter(pk__in=pks).only("pk", "status", "expires_at")
    overdue = [
        job.pk
        for job in database.locked(rows, skip=True)
        if job.status in WAITING and job.expires_at is not None and job.expires_at <= now
    ]
    return len(move([move_of(pk) for pk in overdue], sources=WAITING, actor=SCHEDULER))
