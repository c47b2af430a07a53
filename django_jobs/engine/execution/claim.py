"""Claiming: a worker gives tickets and gets running jobs; jobs that may not run are turned away with the reason."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from django_jobs import pools
from django_jobs.engine.actors import WORKER
from django_jobs.engine.claimed_job import Claimed, Handler
from django_jobs.engine.dispatch import expirations
from django_jobs.engine.execution import breakers, claim_verdicts, unbegun
from django_jobs.engine.execution.policy_memory import Refusal
from django_jobs.engine.ports import Ticket, get_broker
from django_jobs.engine.store.chosen import store
from django_jobs.engine.store.claim_rows import Row
from django_jobs.engine.transitions import Move, Moved, move
from django_jobs.exceptions import BrokerUnavailable
from django_jobs.models import Job
from django_jobs.models.job import format_job_id
from django_jobs.statuses import Status

#: How long a claim pauses that met only rows in use: their tickets may be all that the broker has.
ALL_IN_USE_SECONDS: Final = 0.02


def claim(
    tickets: Sequence[Ticket],
    worker_name: str,
    fits: Callable[[Sequence[str]], int] = len,
    *,
    may_load: bool = True,
    set_aside: Callable[[Sequence[Ticket]], object] | None = None,
) -> list[Claimed]:
    """Start the jobs of these tickets for this worker, and return those that run, in the tickets' order.

    ``fits`` gets the job types in that order and says how many of the first it will start at once; the other
    tickets go back to the front of the broker's queues. A ticket whose job is no longer queued for that attempt is
    void, and so is one that lay in another pool's queue than that of the job's type. Those whose rows another
    transaction holds are given to ``set_aside``, so that nobody waits behind them. Without it they go to the backs of
    their queues, and a claim that meets only such rows takes :data:`ALL_IN_USE_SECONDS` longer. Without ``may_load``
    the tickets from the first one on go back whose handler this process has not loaded yet, since its import may be
    what ends processes.
    """
    if len(tickets) == 1 and (claimed := _claim_known(tickets[0], worker_name)) is not None:
        return [claimed]
    queued, wanted = _read_queued(tickets)
    count = max(1, fits([ahead_name(job) for job in queued]))
    if not may_load:
        count = min(count, sum(1 for _ in itertools.takewhile(claim_verdicts.is_loaded, queued)))
    accepted, refused = _judge(queued[:count], wanted, worker_name)
    turned_away = move(refused, sources=[Status.QUEUED], actor=WORKER, worker_name=worker_name, skip_locked=True)
    started = _start(accepted, worker_name)
    moved = {item.pk for item in [*turned_away, *started]}
    _put_back([wanted[job.pk] for job in queued[count:]], front=True)
    if held := _still_queued([wanted[job.pk] for job in queued[:count] if job.pk not in moved]):
        (set_aside or _put_back)(held)
        if set_aside is None and not moved:
            time.sleep(ALL_IN_USE_SECONDS)
    _read_replaced(accepted, {item.pk: item.queued_at for item in started}, queued)
    running = {item.pk: item.job_id for item in started}
    for item in accepted:
        item.job_id = running.get(item.pk, item.job_id)  # the row's, since a ticket may be forged
    return [item for item in accepted if item.pk in running]


def _claim_known(ticket: Ticket, worker_name: str) -> Claimed | None:
    """Start a job about which nobody need be asked, in one statement; None where it did not start that way.

    Where most jobs are unlike those before them this is rarely tried, since it takes a statement in vain.
    """
    is_worth_it = store().claims_known and claim_verdicts.likeness.is_due()
    known = [row for row in claim_verdicts.known() if row.pool == ticket.pool] if is_worth_it else []
    if not known:
        return None
    found = unbegun.start_known(ticket.pk, ticket.attempt, worker_name, known)
    claim_verdicts.likeness.note(succeeded=found is not None)
    if found is None:
        return None
    moved, row = found
    claimed = claimed_job(row, ticket, claim_verdicts.handler_of(row), worker_name)
    claimed.job_id, claimed.attempt = moved.job_id, moved.attempt  # the row's, since a ticket may be forged
    _read_replaced([claimed], {moved.pk: moved.queued_at}, [row])
    return claimed


def ahead_name(job: Row) -> str:
    """Return the job type by which is judged whether a job may be claimed before its slot is free.

    Not where every start counts: while it waited here, it would keep others from starting elsewhere. No such type runs
    fast, since none has that name.
    """
    return "" if job.starts_count else job.job_type_id


def _put_back(tickets: Sequence[Ticket], *, front: bool = False) -> None:
    try:
        if tickets:
            get_broker().push(tickets, front=front)
    except BrokerUnavailable:
        return  # the claimed jobs run; the scheduler misses these tickets and issues them again


def _read_queued(tickets: Sequence[Ticket]) -> tuple[list[Row], dict[int, Ticket]]:
    """Return the jobs that are queued for exactly these attempts, in the tickets' order, and the ticket of each.

    A job may have several tickets here, of which one is valid at most. The rows are read without a lock: the move
    judges status and attempt again.
    """
    found = {job.pk: job for job in store().claim_rows(list({ticket.pk: None for ticket in tickets}))}
    valid = {job.pk: job.attempt + 1 for job in found.values() if job.status == Status.QUEUED}
    wanted = {
        ticket.pk: ticket
        for ticket in tickets
        if valid.get(ticket.pk) == ticket.attempt and _is_for_pool(ticket, found[ticket.pk])
    }
    return [found[pk] for pk in wanted], wanted


def _is_for_pool(ticket: Ticket, job: Row) -> bool:
    """Return whether a ticket lay in a queue of the job's pool; also for a job that is turned away wherever it is."""
    return job.pool == ticket.pool or job.pool not in pools.names()


def _judge(jobs: Sequence[Row], wanted: dict[int, Ticket], worker_name: str) -> tuple[list[Claimed], list[Move]]:
    """Return which of the jobs may run now, and the moves of the others. Jobs of a kind are judged once."""
    verdicts: dict[tuple[Any, ...], Handler | Refusal] = {}
    accepted: list[Claimed] = []
    refused: list[Move] = []
    held = breakers.not_startable(jobs)
    for job in jobs:
        if job.seconds_left is not None and job.seconds_left <= 0:
            refused.append(expirations.move_of(job.pk, job.attempt))
            continue
        if job.pk in held:
            refused.append(claim_verdicts.refuse(job, Refusal(Status.PENDING, breakers.NOT_STARTED)))
            continue
        key = claim_verdicts.question(job)
        if key not in verdicts:
            verdicts[key] = claim_verdicts.examine(job)
        verdict = verdicts[key]
        if isinstance(verdict, Refusal):
            refused.append(claim_verdicts.refuse(job, verdict))
        else:
            accepted.append(claimed_job(job, wanted[job.pk], verdict, worker_name))
    return accepted, refused


def _start(accepted: Sequence[Claimed], worker_name: str) -> list[Moved]:
    """Move them to Running under a lease. Rows that another transaction holds do not move."""
    return unbegun.start([(item.pk, item.attempt) for item in accepted], worker_name)


def _read_replaced(accepted: Sequence[Claimed], started: dict[int, Any], queued: Sequence[Row]) -> None:
    """Read anew the jobs that were queued again after they had been read: they may have got other values."""
    queued_at = {job.pk: job.queued_at for job in queued}
    changed = {item.pk: item for item in accepted if item.pk in started and started[item.pk] != queued_at[item.pk]}
    for job in store().claim_rows(list(changed)):
        item = changed[job.pk]
        item.parameters, item.metadata, item.timeout_seconds = job.input_parameters, job.metadata, job.timeout_seconds
        item.owner_id, item.owner_name, item.starts_before = job.owner_id, job.owner_name, job.starts_before


def _still_queued(tickets: Sequence[Ticket]) -> list[Ticket]:
    """Return the tickets of jobs that did not move only because another transaction holds their rows."""
    if not tickets:
        return []
    rows = Job.primary.filter(pk__in=[item.pk for item in tickets], status=Status.QUEUED)
    attempts = dict(rows.values_list("pk", "attempt"))
    return [item for item in tickets if attempts.get(item.pk) == item.attempt - 1]


def claimed_job(job: Row, ticket: Ticket, handler: Handler, worker_name: str) -> Claimed:
    return Claimed(
        pk=job.pk,
        job_id=format_job_id(job.pk, ticket.year),
        ticket=ticket,
        job_type=job.job_type_id,
        handler=handler,
        organization_pk=job.organization_id,
        organization=job.organization or "",
        parameters=job.input_parameters,
        metadata=job.metadata,
        attempt=job.attempt + 1,
        timeout_seconds=job.timeout_seconds,
        worker_name=worker_name,
        fileless_attempts=job.fileless_attempts,
        breaker_failures=job.breaker_failures or 0,
        is_limited=bool(job.is_limited),
        owner_id=job.owner_id,
        owner_name=job.owner_name,
        starts_before=job.starts_before,
    )
