"""Settling: how attempts ended becomes what their jobs are now. In sets; a bad one stands alone."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from django_jobs.conf import jobs_settings
from django_jobs.engine import database, dispatch, outcomes, retry
from django_jobs.engine.fingerprints import fingerprint
from django_jobs.engine.transitions import NOW, After, Move, Moved, move
from django_jobs.exceptions import RetryLater
from django_jobs.models import ExecutionLog, Job
from django_jobs.statuses import Status

WORKER_LOST: Final = "Worker lost"
LARGE_BYTES: Final = 1_048_576
_ENDED: dict[str, Any] = {"lease_expires_at": None}


def settle(ended: Sequence[outcomes.Outcome], worker_name: str) -> int:
    """Store how these attempts ended; how many were stored (a lost attempt's end is refused).

    Raises only when the database cannot be reached; the same call may be repeated then.
    """
    returned = [item for item in ended if isinstance(item, outcomes.Returned)]
    others = [item for item in ended if not isinstance(item, outcomes.Returned)]
    stored = _halving(returned, lambda items: _settle_returned(items, worker_name), worker_name)
    stored += _halving(others, lambda items: _settle_others(items, worker_name), worker_name)
    return stored


def _halving(items: Sequence[outcomes.Outcome], store: Callable[[Sequence[Any]], list[Moved]], worker_name: str) -> int:
    """Store a set; if the database refuses it, its halves, until the culprit stands alone."""
    if not items:
        return 0
    try:
        return len(store(items))
    except Exception as error:  # whatever it is, the others of the set have no part in it
        if database.is_lost_connection(error) or database.is_lost_race(error):
            raise
        database.mend_connections()
        if len(items) == 1:
            return len(_settle_others([refused(items[0], error)], worker_name))
    middle = len(items) // 2
    return _halving(items[:middle], store, worker_name) + _halving(items[middle:], store, worker_name)


def refused(item: outcomes.Outcome, error: Exception) -> outcomes.Raised:
    """What becomes of an end that the database does not take."""
    text = f"The result cannot be stored: the database refused it ({type(error).__name__})."
    return outcomes.Raised(claimed=item.claimed, kind=retry.PERMANENT, text=text, traceback=retry.readable(error))


def is_large(item: outcomes.Outcome) -> bool:
    """Whether the result is so large that a database may hang up on it instead of refusing it, as MariaDB does."""
    return isinstance(item, outcomes.Returned) and len(json.dumps(item.result)) > LARGE_BYTES


def _settle_returned(items: Sequence[outcomes.Returned], worker_name: str) -> list[Moved]:
    now = time.monotonic()
    moves = [
        Move(
            pk=item.claimed.pk,
            to_status=Status.COMPLETED,
            attempt=item.claimed.attempt,
            values={
                "progress": 100,
                "result": item.result,
                "output_reference": item.output_reference,
                "error_message": "",
                "error_type": "",
                "error_fingerprint": "",
                "started_at": After(item.started - now),
                "completed_at": After(item.started + item.seconds - now),
                "lease_expires_at": None,
                "ready_at": None,
            },
        )
        for item in items
    ]
    return move(moves, sources=[Status.RUNNING], actor="worker", worker_name=worker_name)


def _settle_others(items: Sequence[outcomes.Outcome], worker_name: str) -> list[Moved]:
    def store() -> list[Moved]:
        by_pk = {item.claimed.pk: item for item in items}
        jobs = _owned({pk: item.claimed.attempt for pk, item in by_pk.items()})
        moved = move(
            [_begun(_move_for(job, by_pk[job.pk]), by_pk[job.pk]) for job in jobs],
            sources=[Status.RUNNING],
            actor="worker",
            worker_name=worker_name,
        )
        return moved + _bury_exhausted(jobs, moved, "worker", worker_name)

    moved = database.in_transaction(store)
    _reissue(moved)
    return moved


def _owned(attempts: dict[int, int], *, skip: bool = False) -> list[Job]:
    """The running jobs that these attempts still own, locked."""
    rows = database.locked(Job.objects.using(database.alias()).filter(pk__in=list(attempts)), skip=skip)
    return [job for job in rows if job.status == Status.RUNNING and job.attempt == attempts[job.pk]]


def _reissue(moved: Sequence[Moved]) -> None:
    """Tickets for what went back to the queue, ahead of the others; after the commit."""
    back = [item for item in moved if item.to_status == Status.QUEUED]
    if back:
        database.on_commit(lambda: dispatch.push(back, front=True))


def _move_for(job: Job, item: outcomes.Outcome) -> Move:
    """Where an attempt that did not return takes its job. A requested cancel overrules all of them."""
    match item:
        case _ if job.cancel_requested_at is not None or isinstance(item, outcomes.Canceled):
            return _canceled(job, getattr(item, "traceback", ""))
        case outcomes.Interrupted():
            return _back_to_queue(job, item.text)
        case outcomes.Postponed():
            later = After(min(item.delay, RetryLater.MAX_SECONDS))
            values = {**_ENDED, "ready_at": later, "run_at": later, "worker_name": ""}
            return _to(job, Status.PENDING, values, item.text)
        case outcomes.Raised(kind=retry.PERMANENT):
            values = {**_ENDED, **_error(retry.PERMANENT, item.text, item.traceback), "completed_at": NOW}
            return _to(job, Status.DEAD_LETTER, values, item.text, item.traceback)
        case outcomes.Raised():
            return _retry(job, Status.FAILED, item.text, item.traceback, item.retry_after)
        case outcomes.TimedOut():
            return _timed_out(job, item.traceback)
        case _:
            raise TypeError(f"unknown outcome {item!r}")


def _begun(item: Move, ended: outcomes.Outcome) -> Move:
    """With the moment at which the handler began, where the job's new status keeps one; the claim came before it."""
    if not ended.started or "started_at" in item.values:
        return item
    return replace(item, values={**item.values, "started_at": After(ended.started - time.monotonic())})


def _to(job: Job, status: str, values: dict[str, Any], message: str, traceback: str = "") -> Move:
    return Move(pk=job.pk, to_status=status, attempt=job.attempt, message=message, traceback=traceback, values=values)


def _error(kind: str, text: str, traceback: str = "") -> dict[str, Any]:
    return {"error_type": kind, "error_message": text, "error_fingerprint": fingerprint(text, traceback)}


def _canceled(job: Job, traceback: str = "") -> Move:
    return _to(job, Status.CANCELED, {**_ENDED, "canceled_at": NOW}, "Stopped on request", traceback)


def _back_to_queue(job: Job, text: str) -> Move:
    values = {**_ENDED, "queued_at": NOW, "started_at": None, "worker_name": ""}
    return _to(job, Status.QUEUED, values, text)


def _lost(job: Job, reason: str) -> Move:
    # The first loss is probably the machine's fault, a second one the job's.
    retry_after = None if job.retry_count and _was_lost_before(job) else 0.0
    return _retry(job, Status.FAILED, f"{WORKER_LOST}: {reason}", "", retry_after)


def _was_lost_before(job: Job) -> bool:
    logs = ExecutionLog.objects.using(database.alias()).filter(job_id=job.pk, to_status=Status.FAILED)
    return logs.filter(message__startswith=WORKER_LOST).exists()


def _timed_out(job: Job, traceback: str) -> Move:
    return _retry(job, Status.TIMED_OUT, f"Ran longer than {job.timeout_seconds} seconds", traceback, None)


def _retry(job: Job, status: str, text: str, traceback: str, retry_after: float | None) -> Move:
    """Failed or Timed Out, with the moment of the next try while retries remain."""
    # Where a timeout struck tells nothing of its kind.
    error = _error(retry.TRANSIENT, text, traceback if status == Status.FAILED else "")
    values = {**_ENDED, **error, "next_retry_at": None, "ready_at": None}
    if job.retry_count < job.max_retries:
        delay = retry_after
        if delay is None:
            delay = retry.back_off(job.retry_count + 1, job.retry_delay, float(jobs_settings.RETRY_JITTER))
        values |= {"next_retry_at": After(delay), "ready_at": After(delay), "retry_count": job.retry_count + 1}
    return _to(job, status, values, text, traceback)


def _bury_exhausted(jobs: Sequence[Job], moved: Sequence[Moved], actor: str, worker_name: str) -> list[Moved]:
    """Those that failed with no retry left go on to Dead Letter in the same transaction."""
    failed = {item.pk for item in moved if item.to_status in {Status.FAILED, Status.TIMED_OUT}}
    spent = [job for job in jobs if job.pk in failed and job.retry_count >= job.max_retries]
    moves = [
        Move(
            pk=job.pk,
            to_status=Status.DEAD_LETTER,
            message=f"Retries exhausted ({job.max_retries})",
            values={"completed_at": NOW},
        )
        for job in spent
    ]
    return move(moves, sources=[Status.FAILED, Status.TIMED_OUT], actor=actor, worker_name=worker_name)


def settle_lost(lost: Sequence[tuple[int, int]], reason: str, worker_name: str, actor: str = "worker") -> list[Moved]:
    """Attempts (job, attempt) whose worker died or fell silent: Failed, or Dead Letter when retries are spent."""
    return _end_unreported(lost, lambda job: _lost(job, reason), worker_name, actor)


def settle_timed_out(overdue: Sequence[tuple[int, int]], worker_name: str) -> list[Moved]:
    """Attempts whose handler had to be killed because it ran too long."""
    return _end_unreported(overdue, lambda job: _timed_out(job, ""), worker_name, "worker")


def return_to_queue(
    items: Sequence[tuple[int, int]], text: str, worker_name: str, actor: str = "worker"
) -> list[Moved]:
    """Running attempts (job, attempt) back to the queue's front, at no cost to their jobs."""
    return _end_unreported(items, lambda job: _back_to_queue(job, text), worker_name, actor)


def _end_unreported(
    attempts: Sequence[tuple[int, int]], move_for: Callable[[Job], Move], worker_name: str, actor: str
) -> list[Moved]:
    """End attempts of which no outcome came; a requested cancel overrules where they would go."""

    def store() -> list[Moved]:
        jobs = _owned(dict(attempts), skip=True)
        moves = [_canceled(job) if job.cancel_requested_at is not None else move_for(job) for job in jobs]
        moved = move(moves, sources=[Status.RUNNING], actor=actor, worker_name=worker_name)
        return moved + _bury_exhausted(jobs, moved, actor, worker_name)

    moved = database.in_transaction(store) if attempts else []
    _reissue(moved)
    return moved
