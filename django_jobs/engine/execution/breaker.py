"""Breakers where attempts begin and end: counting ends, sparing held jobs their retries."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, Final

from django.db.models import Q

from django_jobs.engine import timing
from django_jobs.engine.dispatch import dispatcher
from django_jobs.engine.dispatch.limits import FailedAttempt, count_completion, count_failure, holds_jobs
from django_jobs.engine.execution.outcomes import Returned
from django_jobs.engine.store import database
from django_jobs.engine.store.database import store
from django_jobs.engine.store.values import After, JobRow, Move
from django_jobs.engine.transitions import kind_of
from django_jobs.models import Breaker, ExecutionLog, Job, JobType
from django_jobs.statuses import AWAITING_RETRY, WITH_ERRORS, BreakerState, LogReason, Priority, Status
from django_jobs.texts import say

logger = logging.getLogger("django_jobs")

# Attempts that failed while the breaker of their type was open, and cost their jobs no retry.
#
# A job that would fail whatever its provider does must not go on like that for ever, nor be the only one that tries.
# So a try that failed waits longer each time, for as long as others of its type wait to try. And a job is spared for a
# day: then it pays a retry for its next failure, and after that it is spared for another day. Where nothing of its type
# completes any more, it is a Dead Letter after as many days as it has retries, and one more.


#: A try that failed lets others try for more than one pause, and for more and more of them; up to so many seconds.
PAUSES: Final = 1.5
MAX_DOUBLINGS: Final = 12


def spare_attempt(job: Job, item: Move, now: dt.datetime, pause: int) -> Move:
    """Return the move of a failed attempt to Pending; its own move, if the job has been spared for too long.

    ``pause`` is the seconds between two tries where the job has to let others go first, as after a try that failed.
    With 0 it is ready at once, behind others.
    """
    times, first = _spared_before(job)
    if first is not None and now - first > timing.BREAKER_SPARES:
        return item
    delay = 0.0
    waiting = {
        "job_type_id": job.job_type_id,
        "is_delayed": False,
        "priority__in": list(Priority),
        "ready_at__lte": now,
    }
    if pause > 0 and store().waiting_jobs().filter(**waiting).exclude(pk=job.pk).exists():
        shortest = PAUSES * pause
        delay = max(shortest, min(shortest * 2.0 ** min(times, MAX_DOUBLINGS), timing.LONGEST_BREAKER_SECONDS))
    values: dict[str, Any] = {name: value for name, value in item.values.items() if name != "retry_count"}
    text = "No retry spent, since the breaker of the job type is open: %(text)s"
    return replace(
        item,
        to_status=Status.PENDING,
        message=say(text, code="spared", text=item.message),
        reason=LogReason.SPARED,
        values={**values, "next_retry_at": None, "ready_at": After(delay), "worker_name": ""},
    )


def _spared_before(job: Job) -> tuple[int, dt.datetime | None]:
    """Return how many times in a row the job has been spared, and when for the first time."""
    if job.attempt <= job.retry_count + 1:  # each attempt before this one has cost a retry
        return 0, None
    logs = ExecutionLog.primary.filter(job_id=job.pk).order_by("id")
    paid = logs.filter(to_status__in=sorted(WITH_ERRORS)).last()
    spared = logs.filter(reason=LogReason.SPARED, id__gt=0 if paid is None else paid.pk)
    times = list(spared.values_list("timestamp", flat=True))
    return len(times), times[0] if times else None


# Breakers where attempts begin and end: counting ends, sparing held jobs their retries, keeping them from starting.
#
# All of it is for types that have a breaker only. Rows are locked in one order: first those of jobs, then those of
# breakers in ascending key.


#: Why a queued job does not start, or an attempt that had not begun is requeued.
NOT_STARTED: Final = say("The breaker of the job type is open", code="breaker_open")
#: What is written of a breaker.
WRITTEN: Final = (
    "state",
    "organization",
    "relapse_organization",
    "others_failures",
    "others_fingerprint",
    "failures",
    "fingerprint",
    "error_message",
    "opened_at",
    "next_try_at",
    "tries_since",
    "recovering_since",
)


def not_startable(jobs: Sequence[JobRow]) -> set[int]:
    """Return the keys of those of these jobs that must not start, since the breakers of their types are open.

    What the dispatcher queued since it let the first one go is a try, and may. What waits for it still may not.
    """
    types = {job.job_type_id for job in jobs if job.breaker_failures}
    if not types:
        return set()
    open_rows = {row.pk: row for row in Breaker.primary.filter(pk__in=types, state=BreakerState.OPEN)}
    held = [
        (job, row) for job in jobs if (row := open_rows.get(job.job_type_id)) and holds_jobs(row, job.organization_id)
    ]
    return {job.pk for job, row in held if not _is_since(job.queued_at, row.tries_since)}


def for_dispatch(item: Move) -> Move:
    """Return the move to Queued as one to Pending, where its job is ready at once."""
    values = {**item.values, "queued_at": None, "ready_at": After(0.0)}
    return replace(item, to_status=Status.PENDING, values=values)


def _is_since(moment: dt.datetime | None, since: dt.datetime | None) -> bool:
    return moment is not None and since is not None and moment >= since


def count_completions(completed: Sequence[Returned]) -> None:
    """Count these attempts, of types that have a breaker; in the transaction that stores them as completed."""
    types = {item.claimed.job_type for item in completed}
    counts = Q(failures__gt=0) | Q(others_failures__gt=0) | Q(state=BreakerState.OPEN)
    rows = Breaker.primary.filter(counts, pk__in=types)
    concerned = set(rows.values_list("pk", flat=True)) if types else set()
    if not concerned:
        return
    now, locked = database.now(), _locked(concerned)
    for row in locked.values():
        was_open = row.state == BreakerState.OPEN
        for item in completed:
            if item.claimed.job_type == row.pk:
                count_completion(row, item.claimed.organization_pk, _began(item, now), now)
        if was_open and row.state == BreakerState.RECOVERING:
            _tell_recovery(row.pk)
    Breaker.primary.bulk_update(locked.values(), WRITTEN)


def _began(item: Returned, now: dt.datetime) -> dt.datetime | None:
    return now - dt.timedelta(seconds=time.monotonic() - item.started) if item.started else None


def count_ends(
    jobs: Sequence[Job], moves: Sequence[Move], types: Collection[str], failing: Collection[str] = AWAITING_RETRY
) -> list[Move]:
    """Count the attempts that failed, and return the moves as they are to be; in the transaction that makes these.

    ``types`` are the job types that may have a breaker, ``failing`` the statuses of attempts that count. The jobs'
    rows are locked. Of an attempt that costs no retry the job goes back to Pending. So does a job whose attempt is to
    be requeued while the breaker is open, unless it is a try.
    """
    counts = {job.job_type_id for job, item in zip(jobs, moves, strict=True) if item.to_status in failing}
    asks = {job.job_type_id for job, item in zip(jobs, moves, strict=True) if item.to_status == Status.QUEUED}
    kinds = JobType.primary.filter(breaker_failures__gt=0).in_bulk((counts | asks) & set(types))
    if not kinds:
        return list(moves)
    _make_missing(counts & kinds.keys())
    rows, now = _locked(kinds.keys()), database.now()
    for row in rows.values():
        row.job_type = kinds[row.pk]
    made = []
    for job, item in zip(jobs, moves, strict=True):
        counted = rows.get(job.job_type_id) if item.to_status in failing else None
        made.append(item if counted is None else _count(job, item, counted, now))
    Breaker.primary.bulk_update([row for row in rows.values() if row.pk in counts], WRITTEN)
    return [_unless_held(job, item, rows.get(job.job_type_id)) for job, item in zip(jobs, made, strict=True)]


def _count(job: Job, item: Move, row: Breaker, now: dt.datetime) -> Move:
    """Count a failed attempt; return its move."""
    was_open, held = row.state == BreakerState.OPEN, row.organization_id
    is_try = was_open and holds_jobs(row, job.organization_id) and _is_since(job.started_at, row.tries_since)
    failure = FailedAttempt(
        organization_pk=job.organization_id,
        # A provider that is down fails in each function that calls it.
        fingerprint=kind_of(item.values["error_fingerprint"]),
        text=item.values["error_message"],
        began=job.started_at,
    )
    is_charged = count_failure(row, failure, now)
    if row.state == BreakerState.OPEN and not (was_open and row.organization_id == held):
        _tell_opening(row)
    if is_charged:
        return item
    # Ready at once, a job with a head start would stand before those that it is to let go first.
    return spare_attempt(job, item, now, row.job_type.breaker_pause if is_try or job.head_start > 0 else 0)


def _unless_held(job: Job, item: Move, row: Breaker | None) -> Move:
    """Return the move of an attempt that is requeued: to Pending, if its job may not start again now."""
    if item.to_status != Status.QUEUED or row is None or row.state != BreakerState.OPEN:
        return item
    if not holds_jobs(row, job.organization_id) or _is_since(job.started_at, row.tries_since):
        return item
    message = say(f"%(text)s. {NOT_STARTED}.", code=NOT_STARTED.code, text=item.message)
    return replace(for_dispatch(item), message=message)


def _make_missing(types: Collection[str]) -> None:
    """Make the breakers that these types lack. Before any is locked: one that is made later would be locked too late.

    To make a row that another transaction makes, too, is to wait for that transaction.
    """
    missing = JobType.primary.filter(pk__in=types, breaker=None).order_by("pk").values_list("pk", flat=True)
    made = [Breaker(job_type_id=pk) for pk in missing] if types else []
    Breaker.primary.bulk_create(made, ignore_conflicts=True)


def _locked(pks: Collection[str]) -> dict[str, Breaker]:
    return {row.pk: row for row in database.locked(Breaker.primary.filter(pk__in=pks))}


def _tell_opening(row: Breaker) -> None:
    whose = "all" if row.organization_id is None else row.organization_id
    values = (row.pk, row.failures, row.job_type.breaker_pause, whose, row.fingerprint, row.error_message[:200])
    text = "event=breaker_opened job_type=%s failures=%s pause=%s organization_key=%s fingerprint=%s error=%r"
    database.on_commit(lambda: logger.warning(text, *values))


def _tell_recovery(job_type: str) -> None:
    database.on_commit(lambda: logger.warning("event=breaker_recovering job_type=%s", job_type))
    database.once_on_commit(dispatcher.wake)
