"""Attempts that failed while the breaker of their type was open, and cost their jobs no retry.

A job that would fail whatever its provider does must not go on like that for ever, nor be the only one that tries.
So a try that failed waits longer each time, for as long as others of its type wait to try. And a job is spared for a
day: then it pays a retry for its next failure, and after that it is spared for another day. Where nothing of its type
completes any more, it is a Dead Letter after as many days as it has retries, and one more.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from django_jobs.engine.store.chosen import store
from django_jobs.engine.transitions import After, Move
from django_jobs.models import ExecutionLog, Job
from django_jobs.statuses import WITH_ERRORS, Priority, Status
from django_jobs.texts import say

#: How the message of such an attempt begins; the Execution Log is searched for it.
SPARED: Final = "No retry spent, since the breaker of the job type is open"
SPARED_FOR: Final = dt.timedelta(days=1)
#: A try that failed lets others try for more than one pause, and for more and more of them; up to so many seconds.
PAUSES: Final = 1.5
MAX_SECONDS: Final = 3600.0
MAX_DOUBLINGS: Final = 12


def spare(job: Job, item: Move, now: dt.datetime, pause: int) -> Move:
    """Return the move of a failed attempt to Pending; its own move, if the job has been spared for too long.

    ``pause`` is the seconds between two tries where the job has to let others go first, as after a try that failed.
    With 0 it is ready at once, behind others.
    """
    times, first = _spared_before(job)
    if first is not None and now - first > SPARED_FOR:
        return item
    waits = pause > 0 and _others_wait(job, now)
    delay = _delay(times, pause) if waits else 0.0
    values: dict[str, Any] = {name: value for name, value in item.values.items() if name != "retry_count"}
    return Move(
        pk=item.pk,
        to_status=Status.PENDING,
        attempt=item.attempt,
        message=say(f"{SPARED}: %(text)s", code="spared", text=item.message),
        traceback=item.traceback,
        values={**values, "next_retry_at": None, "ready_at": After(delay), "worker_name": ""},
    )


def _delay(times: int, pause: int) -> float:
    """Return for how many seconds a job lets others try that was spared so many times before."""
    shortest = PAUSES * pause
    return max(shortest, min(shortest * 2.0 ** min(times, MAX_DOUBLINGS), MAX_SECONDS))


def _spared_before(job: Job) -> tuple[int, dt.datetime | None]:
    """Return how many times in a row the job has been spared, and when for the first time."""
    if job.attempt <= job.retry_count + 1:  # each attempt before this one has cost a retry
        return 0, None
    logs = ExecutionLog.primary.filter(job_id=job.pk).order_by("id")
    paid = logs.filter(to_status__in=sorted(WITH_ERRORS)).last()
    spared = logs.filter(to_status=Status.PENDING, message__startswith=SPARED, id__gt=0 if paid is None else paid.pk)
    times = list(spared.values_list("timestamp", flat=True))
    return len(times), times[0] if times else None


def _others_wait(job: Job, now: dt.datetime) -> bool:
    """Return whether another job of the type is ready, and waits for its turn to try."""
    rows = store().waiting_jobs().filter(job_type_id=job.job_type_id, is_delayed=False, priority__in=list(Priority))
    return rows.filter(ready_at__lte=now).exclude(pk=job.pk).exists()
