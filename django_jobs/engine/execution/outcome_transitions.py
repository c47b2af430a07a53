"""The moves by which running jobs leave Running, made from the outcomes of their attempts."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Final

from django_jobs.conf import jobs_settings
from django_jobs.engine.execution import outcomes, retry_policy
from django_jobs.engine.transitions import NOW, After, Move
from django_jobs.engine.transitions.error_fingerprints import fingerprint
from django_jobs.exceptions import RetryLater
from django_jobs.models import ExecutionLog, Job
from django_jobs.statuses import Status
from django_jobs.texts import Text, code_of, say

WORKER_LOST: Final = "Worker lost"
STOPPED: Final = say("Stopped on request", code="stopped")
KILLED: Final = "its process was killed, because the handler did not stop"
_ENDED: dict[str, Any] = {"lease_expires_at": None}


def move_for(job: Job, item: outcomes.Outcome) -> Move:
    """Return the move of a job whose attempt did not return. A requested cancel overrules every outcome."""
    match item:
        case _ if job.cancel_requested_at is not None or isinstance(item, outcomes.Canceled):
            return canceled(job, getattr(item, "traceback", ""))
        case outcomes.Interrupted():
            return back_to_queue(job, item.text)
        case outcomes.Postponed():
            later = After(min(item.delay, RetryLater.MAX_SECONDS))
            values = {**_ENDED, "ready_at": later, "run_at": later, "worker_name": ""}
            return _to(job, Status.PENDING, values, item.text)
        case outcomes.Raised(kind=retry_policy.PERMANENT):
            error = _error(retry_policy.PERMANENT, item.text, item.traceback, item.place)
            values = {**_ENDED, **error, "completed_at": NOW}
            return _to(job, Status.DEAD_LETTER, values, item.text, item.traceback)
        case outcomes.Raised():
            return _retry(job, Status.FAILED, item.text, item.traceback, item.retry_after, item.place)
        case outcomes.TimedOut():
            return timed_out(job, item.traceback)
        case _:
            raise TypeError(f"unknown outcome {item!r}")


def begun(item: Move, ended: outcomes.Outcome) -> Move:
    """Return the move with what is known of the handler: when it began, where the new status keeps that, and more.

    The claim, which wrote ``started_at`` first, came before that moment.
    """
    values = {**item.values, "fileless_attempts": ended.fileless_attempts}
    if not isinstance(ended, outcomes.NotBegun):
        values["begun_attempt"] = ended.claimed.attempt
    if ended.started:
        values.setdefault("started_at", After(ended.started - time.monotonic()))
    if ended.unwritten is not None:
        percent, message = ended.unwritten
        values |= {"progress": percent} if message is None else {"progress": percent, "progress_message": message}
    return replace(item, values=values)


def _to(job: Job, status: str, values: dict[str, Any], message: str, traceback: str = "") -> Move:
    return Move(pk=job.pk, to_status=status, attempt=job.attempt, message=message, traceback=traceback, values=values)


def _error(kind: str, text: str, traceback: str = "", place: str = "") -> dict[str, Any]:
    return {"error_type": kind, "error_message": text, "error_fingerprint": fingerprint(text, traceback, place)}


def canceled(job: Job, traceback: str = "") -> Move:
    return _to(job, Status.CANCELED, {**_ENDED, "canceled_at": NOW}, STOPPED, traceback)


def canceled_unreported(job: Job, traceback: str) -> Move:
    """Return the move to Canceled of an attempt without an outcome. A traceback tells that its process was killed."""
    item = canceled(job, traceback)
    return replace(item, message=_killed(item.message)) if traceback else item


def _killed(message: str) -> Text:
    return say(f"%(text)s: {KILLED}", code=f"{code_of(message)}_killed", text=message)


def back_to_queue(job: Job, text: str, traceback: str = "") -> Move:
    values = {**_ENDED, "queued_at": NOW, "started_at": None, "worker_name": ""}
    return _to(job, Status.QUEUED, values, text, traceback)


def lost(job: Job, reason: str, traceback: str = "") -> Move:
    # The first loss is probably the fault of the machine, a second one that of the job.
    retry_after = None if job.retry_count and _was_lost_before(job) else 0.0
    # Equal losses count as equal errors, at whatever line each of them came.
    text = say(f"{WORKER_LOST}: %(reason)s", code="worker_lost", reason=reason)
    return replace(_retry(job, Status.FAILED, text, "", retry_after), traceback=traceback)


def _was_lost_before(job: Job) -> bool:
    logs = ExecutionLog.primary.filter(job_id=job.pk, to_status=Status.FAILED)
    return logs.filter(message__startswith=WORKER_LOST).exists()


def timed_out(job: Job, traceback: str) -> Move:
    text = say("Ran longer than %(timeout)d seconds", code="timed_out", timeout=job.timeout_seconds)
    return _retry(job, Status.TIMED_OUT, text, traceback, None)


def killed_at_timeout(job: Job, traceback: str) -> Move:
    """Return the move to Timed Out; killed or not, all timeouts of a type count as equal errors."""
    item = timed_out(job, traceback)
    text = _killed(item.message)
    return replace(item, message=text, values={**item.values, "error_message": text})


def _retry(job: Job, status: str, text: str, traceback: str, retry_after: float | None, place: str = "") -> Move:
    """Return the move to Failed or Timed Out, with the moment of the next try while retries remain."""
    # The line at which a timeout came says nothing of its kind.
    error = _error(retry_policy.TRANSIENT, text, traceback if status == Status.FAILED else "", place)
    values = {**_ENDED, **error, "next_retry_at": None, "ready_at": None}
    if job.retry_count < job.max_retries:
        delay = retry_after
        if delay is None:
            delay = retry_policy.back_off(job.retry_count + 1, job.retry_delay, float(jobs_settings.RETRY_JITTER))
        values |= {"next_retry_at": After(delay), "ready_at": After(delay), "retry_count": job.retry_count + 1}
    return _to(job, status, values, text, traceback)
