"""Storing how attempts ended, in sets: Completed, a retry, Dead Letter, Canceled, or back to the queue.

A job of a type with a rate of starts is requeued by way of the dispatcher, which counts the next start. In the queue it
would start once more than the rate allows.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import random
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from django.db import DatabaseError, transaction
from django.db.models import Q

from django_jobs.conf import jobs_settings
from django_jobs.engine import timing, transitions
from django_jobs.engine.actors import WORKER, Actor
from django_jobs.engine.dispatch import tickets
from django_jobs.engine.execution import breaker, outcomes
from django_jobs.engine.store import database
from django_jobs.engine.store.database import store
from django_jobs.engine.store.values import NOW, After, Attempt, AttemptKey, Move, Moved, Terms
from django_jobs.engine.transitions import fingerprint, move
from django_jobs.exceptions import RetryLater
from django_jobs.models import AttemptLog, ExecutionLog, Job, JobType
from django_jobs.statuses import AWAITING_RETRY, WITH_ERRORS, LogReason, Status
from django_jobs.texts import Text, code_of, say

logger = logging.getLogger("django_jobs")

_HAS_RATE = Q(max_starts__isnull=False) | Q(max_starts_per_key__isnull=False)


def requeued_by_dispatch(jobs: Sequence[Job], moves: Sequence[Move]) -> list[Move]:
    """Return the moves as they are to be: those to Queued go to Pending where the type has a rate."""
    asked = {job.job_type_id for job, item in zip(jobs, moves, strict=True) if item.to_status == Status.QUEUED}
    rated = set(JobType.primary.filter(_HAS_RATE, pk__in=asked).values_list("pk", flat=True)) if asked else set()
    return [
        breaker.for_dispatch(item) if item.to_status == Status.QUEUED and job.job_type_id in rated else item
        for job, item in zip(jobs, moves, strict=True)
    ]


# Storing attempts whose handlers returned.


def complete_jobs(items: Sequence[outcomes.Returned], worker_name: str) -> list[Moved]:
    """Move the jobs of these attempts to Completed, count that for the breakers of their types and store their logs."""
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
                "fileless_attempts": item.fileless_attempts,
                "ready_at": None,
                **({"progress_message": item.unwritten[1]} if item.unwritten and item.unwritten[1] is not None else {}),
            },
        )
        for item in items
    ]

    def write() -> list[Moved]:
        moved = move(moves, terms)
        if noted:
            stored = {(item.pk, item.attempt) for item in moved}
            completed = [item for item in noted if item.claimed.key in stored]
            breaker.count_completions([item for item in completed if item.claimed.row.breaker_failures])
            _save_notes(completed)
        return moved

    terms = Terms(sources=[Status.RUNNING], actor=WORKER, worker_name=worker_name, skip_locked=True, only_own=True)
    noted = [item for item in items if item.claimed.row.breaker_failures or item.log]
    return database.in_transaction(write) if noted else write()


#: Bytes of one insert: MariaDB takes 16 MB at once.
INSERT_BYTES: Final = 4_000_000


def _save_notes(ended: Iterable[outcomes.Outcome]) -> None:
    """Store what these attempts noted for the next ones and wrote to the log, beside their ends.

    What the database refuses holds up no end.
    """
    rows = []
    for item in ended:
        if item.checkpoint is not None:
            attempt = Attempt(item.claimed.pk, item.claimed.attempt, item.claimed.worker_name)
            with _refusable("job_id=%s event=checkpoint_not_saved error=%r", item.claimed.job_id):
                store().write_checkpoint(attempt, item.checkpoint)
        if item.log is not None:
            first, last = [list(line) for line in item.log.first], [list(line) for line in item.log.last]
            numbers = {"kept": len(first) + len(last), "dropped": item.log.dropped}
            lines = {"first_lines": first, "last_lines": last}
            rows.append(AttemptLog(job_id=item.claimed.pk, attempt=item.claimed.attempt, **lines, **numbers))
    if rows:
        largest = max(len(json.dumps([row.first_lines, row.last_lines])) for row in rows)
        with _refusable("event=handler_logs_not_saved attempts=%s error=%r", len(rows)):
            AttemptLog.primary.bulk_create(rows, max(1, INSERT_BYTES // largest), ignore_conflicts=True)


@contextlib.contextmanager
def _refusable(text: str, subject: object) -> Iterator[None]:
    try:
        with transaction.atomic(using=database.alias()):
            yield
    except DatabaseError as error:
        if database.is_lost_connection(error) or database.is_lost_race(error):
            raise
        logger.warning(text, subject, error)


# The moves by which running jobs leave Running, made from the outcomes of their attempts.


#: Enough to get from one second past timing.LONGEST_BACK_OFF_SECONDS; a thousand would overflow a float.
MAX_DOUBLINGS: Final = 22
STOPPED: Final = say("Stopped on request", code="stopped")
KILLED: Final = "its process was killed, because the handler did not stop"
_ENDED: dict[str, Any] = {"lease_expires_at": None}


def move_for(job: Job, ended: outcomes.Outcome) -> Move:
    """Return the move of a job whose attempt did not return, with what is known of the handler.

    It began when its outcome says, where the new status keeps that. The claim, which wrote ``started_at`` first, came
    before that moment.
    """
    item = _judged(job, ended)
    values = {**item.values, "fileless_attempts": ended.fileless_attempts}
    if not isinstance(ended, outcomes.NotBegun):
        values["begun_attempt"] = ended.claimed.attempt
    if ended.started:
        values.setdefault("started_at", After(ended.started - time.monotonic()))
    if ended.unwritten is not None:
        percent, message = ended.unwritten
        values |= {"progress": percent} if message is None else {"progress": percent, "progress_message": message}
    return replace(item, values=values)


def _judged(job: Job, item: outcomes.Outcome) -> Move:
    """A requested cancel overrules every outcome."""
    match item:
        case _ if job.cancel_requested_at is not None or isinstance(item, outcomes.Canceled):
            return canceled_move(job, getattr(item, "traceback", ""))
        case outcomes.Interrupted():
            return requeue_move(job, item.text)
        case outcomes.Postponed():
            later = After(min(item.delay, RetryLater.MAX_SECONDS))
            values = {**_ENDED, "ready_at": later, "run_at": later, "worker_name": ""}
            return _to(job, Status.PENDING, values, item.text)
        case outcomes.Raised(kind=outcomes.PERMANENT):
            error = _error(outcomes.PERMANENT, item.text, item.traceback, item.place)
            values = {**_ENDED, **error, "completed_at": NOW}
            return _to(job, Status.DEAD_LETTER, values, item.text, item.traceback)
        case outcomes.Raised():
            return _retry(job, Status.FAILED, item.text, item.traceback, item.retry_after, item.place)
        case outcomes.TimedOut():
            return timed_out(job, item.traceback)
        case _:
            raise TypeError(f"unknown outcome {item!r}")


def _to(job: Job, status: str, values: dict[str, Any], message: str, traceback: str = "") -> Move:
    return Move(pk=job.pk, to_status=status, attempt=job.attempt, message=message, traceback=traceback, values=values)


def _error(kind: str, text: str, traceback: str = "", place: str = "") -> dict[str, Any]:
    return {"error_type": kind, "error_message": text, "error_fingerprint": fingerprint(text, traceback, place)}


def canceled_move(job: Job, traceback: str = "") -> Move:
    return _to(job, Status.CANCELED, {**_ENDED, "canceled_at": NOW}, STOPPED, traceback)


def canceled_unreported_move(job: Job, traceback: str) -> Move:
    """Return the move to Canceled of an attempt without an outcome. A traceback tells that its process was killed."""
    item = canceled_move(job, traceback)
    return replace(item, message=_killed(item.message)) if traceback else item


def _killed(message: str) -> Text:
    return say(f"%(text)s: {KILLED}", code=f"{code_of(message)}_killed", text=message)


def requeue_move(job: Job, text: str, traceback: str = "", reason: str = "") -> Move:
    values = {**_ENDED, "queued_at": NOW, "started_at": None, "worker_name": ""}
    return replace(_to(job, Status.QUEUED, values, text, traceback), reason=reason)


def lost_move(job: Job, reason: str, traceback: str = "") -> Move:
    # The first loss is probably the fault of the machine, a second one that of the job.
    losses = ExecutionLog.primary.filter(job_id=job.pk, reason=LogReason.WORKER_LOST)
    retry_after = None if job.retry_count and losses.exists() else 0.0
    # Equal losses count as equal errors, at whatever line each of them came.
    text = say("Worker lost: %(reason)s", code="worker_lost", reason=reason)
    item = _retry(job, Status.FAILED, text, "", retry_after)
    return replace(item, reason=LogReason.WORKER_LOST, traceback=traceback)


def timed_out(job: Job, traceback: str) -> Move:
    text = say("Ran longer than %(timeout)d seconds", code="timed_out", timeout=job.timeout_seconds)
    return _retry(job, Status.TIMED_OUT, text, traceback, None)


def killed_at_timeout_move(job: Job, traceback: str) -> Move:
    """Return the move to Timed Out; killed or not, all timeouts of a type count as equal errors."""
    item = timed_out(job, traceback)
    text = _killed(item.message)
    return replace(item, message=text, values={**item.values, "error_message": text})


def back_off(retry: int, delay: float, jitter: float) -> float:
    """Return the seconds before the ``retry``-th retry, counted from 1: exponential back-off with jitter.

    The ``delay`` is doubled with each retry, up to LONGEST_BACK_OFF_SECONDS. Then it is spread by ± ``jitter``,
    a part of 1.
    """
    base = min(delay * 2.0 ** min(retry - 1, MAX_DOUBLINGS), timing.LONGEST_BACK_OFF_SECONDS)
    return base * random.uniform(1 - jitter, 1 + jitter)  # noqa: S311  (spreads retries)


def _retry(job: Job, status: str, text: str, traceback: str, retry_after: float | None, place: str = "") -> Move:
    """Return the move to Failed or Timed Out, with the moment of the next try while retries remain."""
    # The line at which a timeout came says nothing of its kind.
    error = _error(outcomes.TRANSIENT, text, traceback if status == Status.FAILED else "", place)
    values = {**_ENDED, **error, "next_retry_at": None, "ready_at": None}
    if job.retry_count < job.max_retries:
        delay = retry_after
        if delay is None:
            delay = back_off(job.retry_count + 1, job.retry_delay, float(jobs_settings.RETRY_JITTER))
        values |= {"next_retry_at": After(delay), "ready_at": After(delay), "retry_count": job.retry_count + 1}
    return _to(job, status, values, text, traceback)


# Settling: storing how attempts ended, in sets. One that the database refuses holds up no other.


#: Characters of JSON.
LARGE_BYTES: Final = 1_048_576
#: How the message begins where a job that failed is tried no more.
EXHAUSTED: Final = "Retries exhausted"
#: Attempts, and the tracebacks of those without an outcome.
Attempts = Collection[AttemptKey]
Tracebacks = Mapping[AttemptKey, str]
NO_TRACEBACKS: Final[Tracebacks] = MappingProxyType({})


def settle(ended: Sequence[outcomes.Outcome], worker_name: str) -> list[outcomes.Outcome]:
    """Store how these attempts ended, and return those whose rows are in use: settle them again later.

    The end of an attempt that no longer owns its job in this worker's name is not stored. Raises only when the database
    cannot be reached; the same call may be repeated then.
    """
    returned = [item for item in ended if isinstance(item, outcomes.Returned)]
    others = [item for item in ended if not isinstance(item, outcomes.Returned)]
    moved = _halving(returned, complete_jobs, worker_name) + _halving(others, _settle_others, worker_name)
    stored = {(item.pk, item.attempt) for item in moved}
    missing = [item for item in ended if item.claimed.key not in stored]
    running = still_running([item.claimed.key for item in missing], worker_name) if missing else ()
    unstored = [item for item in missing if item.claimed.key in running]
    for item in others:
        if item.error is not None and item.claimed.key not in running:
            if item.claimed.key not in stored:
                transitions.hooks.announcer.refused(item.claimed, item.error)
            item.error = None  # its frames keep objects of the handler alive
    return unstored


def still_running(attempts: Attempts, worker_name: str | None = None) -> set[AttemptKey]:
    """Return those of these attempts that run, in this worker's name if one is given, whoever holds their rows."""
    if not attempts:
        return set()
    rows = Job.primary.filter(pk__in=[pk for pk, _ in attempts], status=Status.RUNNING)
    rows = rows if worker_name is None else rows.filter(worker_name=worker_name)
    return set(rows.values_list("pk", "attempt")).intersection(attempts)


def settle_all(ended: Sequence[outcomes.Outcome], worker_name: str) -> None:
    """Settle these attempts, again and again while rows are in use; for callers with nothing else to do."""
    while ended := settle(ended, worker_name):
        time.sleep(timing.SETTLE_IN_USE_SECONDS)


def _halving(items: Sequence[Any], store: Callable[[Sequence[Any], str], list[Moved]], worker_name: str) -> list[Moved]:
    """Store a set. When the database refuses it, store each half, until the refused one stands alone."""
    if not items:
        return []
    try:
        return store(items, worker_name)
    except Exception as error:  # whatever it is, it must not hold up the others of the set
        if database.is_lost_connection(error) or database.is_lost_race(error):
            raise
        database.mend_connections()
        if len(items) == 1:
            return _settle_others([refused(items[0], error)], worker_name)
    middle = len(items) // 2
    return _halving(items[:middle], store, worker_name) + _halving(items[middle:], store, worker_name)


def refused(item: outcomes.Outcome, error: Exception) -> outcomes.Raised:
    """Return the outcome of an attempt whose own outcome the database refuses."""
    text = say(
        "The result cannot be stored: the database refused it (%(error)s).",
        code="not_storable",
        error=type(error).__name__,
    )
    trace = outcomes.readable(error, item.claimed.mask)
    return outcomes.Raised(
        claimed=item.claimed, kind=outcomes.PERMANENT, text=text, traceback=trace, error=error, log=item.log
    )


def is_large(item: outcomes.Outcome) -> bool:
    """Return whether the result is so large that a database may close the connection, as MariaDB does."""
    return isinstance(item, outcomes.Returned) and len(json.dumps(item.result)) > LARGE_BYTES


def _settle_others(items: Sequence[outcomes.Outcome], worker_name: str) -> list[Moved]:
    outcome_of = {item.claimed.pk: item for item in items}
    attempts = [item.claimed.key for item in outcome_of.values()]
    return _end(attempts, lambda job: move_for(job, outcome_of[job.pk]), worker_name, outcome_of=outcome_of)


def _end(
    attempts: Attempts,
    move_of: Callable[[Job], Move],
    worker_name: str,
    actor: Actor = WORKER,
    outcome_of: Mapping[int, outcomes.Outcome] = MappingProxyType({}),
) -> list[Moved]:
    """End those of these attempts that the worker still owns, except rows in use, and store what goes with their ends.

    A database that lost a claim, as by a fail-over, may give its number to another worker's attempt. An attempt without
    an outcome that is Failed was lost, which says nothing of a provider: for breakers only its timeout counts.
    """
    expected = dict(attempts)

    def write() -> list[Moved]:
        rows = database.locked(Job.primary.filter(pk__in=list(expected)), skip=True)
        running = [job for job in rows if job.status == Status.RUNNING and job.worker_name == worker_name]
        jobs = [job for job in running if job.attempt == expected[job.pk]]
        ended = [outcome_of[job.pk] for job in jobs if outcome_of]
        _save_notes(ended)
        types = {job.job_type_id for job in jobs if not outcome_of or outcome_of[job.pk].claimed.row.breaker_failures}
        failing = AWAITING_RETRY if outcome_of else [Status.TIMED_OUT]
        moves = requeued_by_dispatch(jobs, breaker.count_ends(jobs, [move_of(job) for job in jobs], types, failing))
        errors = {item.claimed.pk: item.error for item in ended}
        moves = [_blaming(item, job, errors.get(job.pk)) for item, job in zip(moves, jobs, strict=True)]
        moved = move(moves, Terms(sources=[Status.RUNNING], actor=actor, worker_name=worker_name))
        failed = {item.pk for item in moved if item.to_status in AWAITING_RETRY}
        buried = [
            Move(
                pk=job.pk,
                to_status=Status.DEAD_LETTER,
                message=say(f"{EXHAUSTED} (%(most)d)", code="retries_exhausted", most=job.max_retries),
                values={"completed_at": NOW},
                error=errors.get(job.pk),
            )
            for job in jobs
            if job.pk in failed and job.retry_count >= job.max_retries
        ]
        return moved + move(buried, Terms(sources=AWAITING_RETRY, actor=actor, worker_name=worker_name))

    moved = database.in_transaction(write) if attempts else []
    if back := [item for item in moved if item.to_status == Status.QUEUED]:
        database.on_commit(lambda: tickets.push_tickets(back, front=True))
    return moved


def _blaming(item: Move, job: Job, error: BaseException | None) -> Move:
    """Return the move with its error, which is told once: after the last try, with the move to Dead Letter."""
    is_followed = item.to_status != Status.DEAD_LETTER and job.retry_count >= job.max_retries
    return item if is_followed or item.to_status not in WITH_ERRORS else replace(item, error=error)


def settle_lost(
    lost: Attempts, reason: str, worker_name: str, actor: Actor = WORKER, tracebacks: Tracebacks = NO_TRACEBACKS
) -> list[Moved]:
    """End attempts whose worker died or fell silent as Failed, or Dead Letter without a retry left."""
    make = functools.partial(lost_move, reason=reason)
    return _end(lost, lambda job: _unreported(job, make, tracebacks, canceled_move), worker_name, actor)


def settle_timed_out(overdue: Attempts, worker_name: str, tracebacks: Tracebacks = NO_TRACEBACKS) -> list[Moved]:
    """End attempts as Timed Out whose handlers had to be killed."""
    return _end(overdue, lambda job: _unreported(job, killed_at_timeout_move, tracebacks), worker_name)


def requeue(
    items: Attempts,
    text: str,
    worker_name: str,
    reason: str = "",
    *,
    actor: Actor = WORKER,
    tracebacks: Tracebacks = NO_TRACEBACKS,
) -> list[Moved]:
    """Move running attempts to the front of the queue; it costs their jobs no retry.

    Of a type with a rate of starts they wait for dispatch again.
    """
    make = functools.partial(requeue_move, text=text, reason=reason)
    return _end(items, lambda job: _unreported(job, make, tracebacks), worker_name, actor)


def _unreported(
    job: Job,
    make: Callable[..., Move],
    tracebacks: Tracebacks,
    canceled: Callable[..., Move] = canceled_unreported_move,
) -> Move:
    """Return the end of an attempt without an outcome. A requested cancel overrules where its job would go."""
    overruled = make if job.cancel_requested_at is None else canceled
    return overruled(job, traceback=tracebacks.get((job.pk, job.attempt), ""))
