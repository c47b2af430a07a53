"""Settling: storing how attempts ended, in sets. One that the database refuses holds up no other."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from django_jobs.engine.actors import WORKER, Actor
from django_jobs.engine.dispatch import ticketing
from django_jobs.engine.execution import (
    breakers,
    checkpoint,
    completions,
    handler_logs,
    outcome_transitions,
    outcomes,
    rated_returns,
    retry_policy,
)
from django_jobs.engine.store import database
from django_jobs.engine.transitions import NOW, Move, Moved, hooks, move
from django_jobs.models import Job
from django_jobs.statuses import AWAITING_RETRY, WITH_ERRORS, Status
from django_jobs.texts import say

#: Characters of JSON.
LARGE_BYTES: Final = 1_048_576
#: How the message begins where a job that failed is tried no more.
EXHAUSTED: Final = "Retries exhausted"
#: How long to wait for rows in use before the next try.
IN_USE_SECONDS: Final = 0.02
#: Attempts, each as (job, attempt), and the tracebacks of those without an outcome.
Attempts = Sequence[tuple[int, int]]
Tracebacks = Mapping[tuple[int, int], str]
NO_TRACEBACKS: Final[Tracebacks] = MappingProxyType({})


def settle(ended: Sequence[outcomes.Outcome], worker_name: str) -> list[outcomes.Outcome]:
    """Store how these attempts ended, and return those whose rows are in use: settle them again later.

    The end of an attempt that no longer owns its job in this worker's name is not stored. Raises only when the database
    cannot be reached; the same call may be repeated then.
    """
    returned = [item for item in ended if isinstance(item, outcomes.Returned)]
    others = [item for item in ended if not isinstance(item, outcomes.Returned)]
    moved = _halving(returned, lambda items: completions.complete(items, worker_name), worker_name)
    moved += _halving(others, lambda items: _settle_others(items, worker_name), worker_name)
    stored = {(item.pk, item.attempt) for item in moved}
    unstored = _still_running([item for item in ended if _key(item) not in stored], worker_name)
    kept = set(map(_key, unstored))
    _let_go([item for item in others if item.error is not None and _key(item) not in kept], stored)
    return unstored


def _let_go(items: Sequence[outcomes.Outcome], stored: set[tuple[int, int]]) -> None:
    """Drop the errors, whose frames keep objects of their handlers alive; tell those of lost attempts first."""
    for item in items:
        if item.error is not None and _key(item) not in stored:
            hooks.announcer().refused(item.claimed, item.error)
        object.__setattr__(item, "error", None)


def settle_all(ended: Sequence[outcomes.Outcome], worker_name: str) -> None:
    """Settle these attempts, again and again while rows are in use; for callers with nothing else to do."""
    while ended := settle(ended, worker_name):
        time.sleep(IN_USE_SECONDS)


def _key(item: outcomes.Outcome) -> tuple[int, int]:
    return item.claimed.pk, item.claimed.attempt


def _still_running(items: Sequence[outcomes.Outcome], worker_name: str) -> list[outcomes.Outcome]:
    """Return the attempts that still run in this worker's name, without waiting for locks."""
    if not items:
        return []
    rows = Job.primary.filter(pk__in=[item.claimed.pk for item in items])
    mine = set(rows.filter(status=Status.RUNNING, worker_name=worker_name).values_list("pk", "attempt"))
    return [item for item in items if _key(item) in mine]


def _halving(
    items: Sequence[outcomes.Outcome], store: Callable[[Sequence[Any]], list[Moved]], worker_name: str
) -> list[Moved]:
    """Store a set. When the database refuses it, store each half, until the refused one stands alone."""
    if not items:
        return []
    try:
        return store(items)
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
    trace = retry_policy.readable(error, item.claimed.mask)
    return outcomes.Raised(
        claimed=item.claimed, kind=retry_policy.PERMANENT, text=text, traceback=trace, error=error, log=item.log
    )


def is_large(item: outcomes.Outcome) -> bool:
    """Return whether the result is so large that a database may close the connection, as MariaDB does."""
    return isinstance(item, outcomes.Returned) and len(json.dumps(item.result)) > LARGE_BYTES


def _settle_others(items: Sequence[outcomes.Outcome], worker_name: str) -> list[Moved]:
    def store() -> list[Moved]:
        by_pk = {item.claimed.pk: item for item in items}
        jobs = _owned({pk: item.claimed.attempt for pk, item in by_pk.items()}, worker_name)
        moves = [
            outcome_transitions.begun(outcome_transitions.move_for(job, by_pk[job.pk]), by_pk[job.pk]) for job in jobs
        ]
        types = {item.claimed.job_type for item in items if item.claimed.breaker_failures}
        checkpoint.save_with_ends([by_pk[job.pk] for job in jobs])
        handler_logs.save_with_ends([by_pk[job.pk] for job in jobs])
        moves = rated_returns.by_dispatch(jobs, breakers.count_ends(jobs, moves, types))
        errors = {pk: item.error for pk, item in by_pk.items()}
        moved = move(
            [_blaming(item, job, errors[job.pk]) for item, job in zip(moves, jobs, strict=True)],
            sources=[Status.RUNNING],
            actor=WORKER,
            worker_name=worker_name,
        )
        return moved + _bury_exhausted(jobs, moved, WORKER, worker_name, errors)

    moved = database.in_transaction(store)
    _reissue(moved)
    return moved


def _blaming(item: Move, job: Job, error: BaseException | None) -> Move:
    """Return the move with its error, which is told once: after the last try, with the move to Dead Letter."""
    is_followed = item.to_status != Status.DEAD_LETTER and job.retry_count >= job.max_retries
    return item if is_followed or item.to_status not in WITH_ERRORS else replace(item, error=error)


def _owned(attempts: dict[int, int], worker_name: str) -> list[Job]:
    """Lock and return the running jobs that these attempts of the worker still own, except rows in use.

    A database that lost a claim, as by a fail-over, may give its number to another worker's attempt.
    """
    rows = database.locked(Job.primary.filter(pk__in=list(attempts)), skip=True)
    running = [job for job in rows if job.status == Status.RUNNING and job.worker_name == worker_name]
    return [job for job in running if job.attempt == attempts[job.pk]]


def _reissue(moved: Sequence[Moved]) -> None:
    """After the commit, push tickets for the jobs that went back to the queue, ahead of the others."""
    back = [item for item in moved if item.to_status == Status.QUEUED]
    if back:
        database.on_commit(lambda: ticketing.push(back, front=True))


def _bury_exhausted(
    jobs: Sequence[Job],
    moved: Sequence[Moved],
    actor: Actor,
    worker_name: str,
    errors: Mapping[int, BaseException | None] = MappingProxyType({}),
) -> list[Moved]:
    """Move jobs that failed with no retry left on to Dead Letter, in the same transaction."""
    failed = {item.pk for item in moved if item.to_status in AWAITING_RETRY}
    spent = [job for job in jobs if job.pk in failed and job.retry_count >= job.max_retries]
    moves = [
        Move(
            pk=job.pk,
            to_status=Status.DEAD_LETTER,
            message=say(f"{EXHAUSTED} (%(most)d)", code="retries_exhausted", most=job.max_retries),
            values={"completed_at": NOW},
            error=errors.get(job.pk),
        )
        for job in spent
    ]
    return move(moves, sources=AWAITING_RETRY, actor=actor, worker_name=worker_name)


def settle_lost(
    lost: Attempts, reason: str, worker_name: str, actor: Actor = WORKER, tracebacks: Tracebacks = NO_TRACEBACKS
) -> list[Moved]:
    """End attempts whose worker died or fell silent as Failed, or Dead Letter without a retry left."""
    return _end_unreported(
        lost,
        lambda job, trace: outcome_transitions.lost(job, reason, trace),
        worker_name,
        actor,
        tracebacks,
        canceled=outcome_transitions.canceled,
    )


def settle_timed_out(overdue: Attempts, worker_name: str, tracebacks: Tracebacks = NO_TRACEBACKS) -> list[Moved]:
    """End attempts as Timed Out whose handlers had to be killed."""
    return _end_unreported(overdue, outcome_transitions.killed_at_timeout, worker_name, WORKER, tracebacks)


def return_to_queue(
    items: Attempts, text: str, worker_name: str, actor: Actor = WORKER, tracebacks: Tracebacks = NO_TRACEBACKS
) -> list[Moved]:
    """Take running attempts back to the front of the queue; it costs their jobs no retry.

    Of a type with a rate of starts they wait for dispatch again.
    """
    return _end_unreported(
        items, lambda job, trace: outcome_transitions.back_to_queue(job, text, trace), worker_name, actor, tracebacks
    )


def _end_unreported(
    attempts: Attempts,
    move_for: Callable[[Job, str], Move],
    worker_name: str,
    actor: Actor,
    tracebacks: Tracebacks,
    canceled: Callable[[Job, str], Move] = outcome_transitions.canceled_unreported,
) -> list[Moved]:
    """End attempts without an outcome. A requested cancel overrules where their jobs would go."""

    def move_of(job: Job) -> Move:
        trace = tracebacks.get((job.pk, job.attempt), "")
        return canceled(job, trace) if job.cancel_requested_at is not None else move_for(job, trace)

    def store() -> list[Moved]:
        jobs = _owned(dict(attempts), worker_name)
        # Such an attempt is Failed where its worker was lost, which says nothing of a provider.
        types = {job.job_type_id for job in jobs}
        moves = breakers.count_ends(jobs, [move_of(job) for job in jobs], types, failing=[Status.TIMED_OUT])
        moves = rated_returns.by_dispatch(jobs, moves)
        moved = move(moves, sources=[Status.RUNNING], actor=actor, worker_name=worker_name)
        return moved + _bury_exhausted(jobs, moved, actor, worker_name)

    moved = database.in_transaction(store) if attempts else []
    _reissue(moved)
    return moved
