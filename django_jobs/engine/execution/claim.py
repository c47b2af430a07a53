"""Claiming: which jobs may run now, and starting them, by tickets or as a share of the backlog."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from django.db import Error
from django.db.models import Q

from django_jobs import pools
from django_jobs.conf import DEFAULT_POOL, jobs_settings
from django_jobs.engine import access, timing
from django_jobs.engine.access import may_submit
from django_jobs.engine.actors import SYSTEM, WORKER
from django_jobs.engine.claimed_job import Claimed, Handler
from django_jobs.engine.deadlines import Late
from django_jobs.engine.dispatch import backlog, tenant_shares, tickets, turns
from django_jobs.engine.execution import breaker
from django_jobs.engine.job_types import handlers
from django_jobs.engine.memory import Memory, forgets
from django_jobs.engine.ports import Queue, Ticket, get_broker
from django_jobs.engine.store import database
from django_jobs.engine.store import values as store_values
from django_jobs.engine.store.database import fresh_reads, store
from django_jobs.engine.store.values import NOW, After, AttemptKey, Candidate, JobRow, Move, Moved, Terms, Waypoint
from django_jobs.engine.submission.targets import may_own
from django_jobs.engine.transitions import fingerprint, move
from django_jobs.exceptions import BrokerUnavailable
from django_jobs.models import ExecutionLog, Job, JobType, get_organization_model
from django_jobs.models.job import format_job_id
from django_jobs.statuses import DISPATCHABLE, LogReason, Priority, Status, SubmitBy
from django_jobs.texts import say

# Claiming: which queued jobs may run now, by organization, access policy and handler; and starting them.
#
# Answers of organization and policy are remembered for a second. A share of the backlog is taken under the dispatcher's
# lock, where nobody can be asked: it uses what is remembered here.


UNANSWERED: Final = say("The access policy has not answered yet", code="policy_silent")
#: Answers that are remembered.
MAX_ANSWERS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a queued job does not run now, and where it goes. ``detail`` is for system admins."""

    to_status: str
    message: str
    delay: float = 0.0
    is_not_loadable: bool = False
    detail: str = ""


class PolicyAnswer(NamedTuple):
    """What the policy said of jobs of a kind, and when it was asked that."""

    asked: float
    refusal: Refusal | None


#: The main loop and the refiller ask at the same time. Held while an answer is written.
_writing: Final = threading.Lock()
_answers: Final[Memory[tuple[Any, ...], PolicyAnswer]] = Memory(MAX_ANSWERS)
#: One job of each kind for which an answer was wanted since they were last asked for again.
_wanted: Final[Memory[tuple[Any, ...], JobRow]] = Memory(MAX_ANSWERS)


def refusal_of(job: JobRow) -> Refusal | None:
    """Ask organization and policy, or take their answer of less than CLAIM_ANSWER_SECONDS ago."""
    answer = answer_to(job)
    return _ask_now(_question(job), job) if answer is None else answer.refusal


def answer_to(job: JobRow) -> PolicyAnswer | None:
    """Return the answer for a job that has not expired, and note that it was wanted."""
    key = _question(job)
    _wanted.put(key, _kind(job))
    return _answers.fresh(key)


def ask_again(is_called_away: Callable[[], bool] = lambda: False) -> None:
    """Ask anew what was wanted since the last call, where the answer is nearly too old.

    So that those who go on wanting it need not wait for it. Who is called away still asks one question at most; what
    is left then is asked by those who want it.
    """
    soon = time.monotonic() + timing.CLAIM_ANSWER_RENEWAL_SECONDS
    with contextlib.suppress(KeyError):  # another thread has taken out the last
        while _wanted:  # emptied also where there is no answer: what still waits is wanted again
            key, wanted = _wanted.popitem()
            if key not in _answers or _answers[key].expires < soon:
                _ask_now(key, wanted.value)
                if is_called_away():
                    _wanted.clear()


def _ask_now(key: tuple[Any, ...], job: JobRow) -> Refusal | None:
    asked = time.monotonic()

    def ask() -> Refusal | None:
        answer = PolicyAnswer(asked, _ask_quietly(job))
        with _writing:
            before = _answers.get(key)
            if before is None or before.value.asked <= asked:  # else another thread has asked later, and was answered
                _answers.put(key, answer, timing.CLAIM_ANSWER_SECONDS)
        return answer.refusal

    try:
        return access.ask_beside(job.organization_id, ask)
    except Late:
        return Refusal(Status.PENDING, UNANSWERED, timing.CLAIM_ANSWER_SECONDS)


def _kind(job: JobRow) -> JobRow:
    """Return the job without what no question is about, which may be large."""
    return job._replace(input_parameters=None, metadata=None)


def _question(job: JobRow) -> tuple[Any, ...]:
    """Return what the answer depends on: jobs for which this is equal are judged once in a claim."""
    return (
        database.alias(),
        job.organization_id,
        # A tenant that was renamed or deleted since is asked about anew.
        job.organization,
        job.owner_id,
        job.owner_name,
        job.job_type_id,
        job.requires_permission,
        job.submit_by,
        job.submitted_by_id is not None,
        job.pool,
    )


def _ask_quietly(job: JobRow) -> Refusal | None:
    """Ask the policy. One that fails decides nothing: the job waits and is judged again."""
    try:
        with fresh_reads():  # a job does not die of what a replica does not know yet
            return _ask_policy(job)
    except Error:
        raise
    except Exception as error:  # noqa: BLE001  (the host's code)
        access.complain(error)
        name = type(access.cause_of(error)).__name__
        text = say("The access policy failed (%(error)s)", code="policy_failed", error=name)
        return Refusal(Status.PENDING, text, timing.POLICY_FAILED_RETRY_SECONDS)


def _ask_policy(job: JobRow) -> Refusal | None:
    tenants = database.rows(get_organization_model())
    organization = tenants.filter(pk=job.organization_id).first()
    if organization is None:
        return Refusal(Status.DEAD_LETTER, say("Organization not found", code="organization_gone"))
    policy = access.get_policy()
    if not policy.is_active(organization):
        return Refusal(Status.PENDING, say("The organization is not active", code="organization_inactive"))
    if not job.owner_name and job.owner_id is None:
        return None
    owner = access.find_owner(job)
    if owner is None:
        return Refusal(Status.DEAD_LETTER, say("The owner no longer exists", code="owner_gone"))
    kind = JobType.primary.get(pk=job.job_type_id)
    # A job that was accepted while its type was open to users runs also after the type was closed to them.
    by_code = job.submitted_by_id is not None or kind.submit_by == SubmitBy.CODE
    may = may_own if by_code else may_submit
    if not may(owner, organization, kind):
        return Refusal(Status.DEAD_LETTER, say("The owner may no longer submit this", code="may_not_submit"))
    return None


# Judging whether a queued job may run now: by its type, its organization, its owner and its handler.


def refuse_claims(job: JobRow, refusal: Refusal) -> Move:
    """Return the move of a job that may not run."""
    # This is judged for each job, since each has waited for its own time.
    if refusal.is_not_loadable and _not_loadable_since(job) > timing.NOT_LOADABLE_END_SECONDS:
        text = say(
            "%(text)s No worker could load it for 10 minutes.", code="handler_not_loadable", text=refusal.message
        )
        refusal = Refusal(Status.DEAD_LETTER, text, detail=refusal.detail)
    values: dict[str, Any] = {"queued_at": None, "ready_at": After(refusal.delay)}
    if refusal.to_status == Status.DEAD_LETTER:
        values = {"error_message": refusal.message, "error_type": "Permanent", "completed_at": NOW}
        values["error_fingerprint"] = fingerprint(refusal.message)
    return Move(
        pk=job.pk,
        to_status=refusal.to_status,
        attempt=job.attempt,
        message=refusal.message,
        reason=LogReason.NOT_LOADABLE if refusal.is_not_loadable else "",
        traceback=refusal.detail,
        values=values,
    )


def examine_claims(job: JobRow) -> Handler | Refusal:
    """Return the handler to run, or why the job may not run."""
    if job.handler_method is None:
        return Refusal(Status.DEAD_LETTER, say("Job type not found", code="unknown_job_type"))
    if not job.is_enabled or job.is_paused:
        word = "paused" if job.is_enabled else "disabled"
        return Refusal(Status.PENDING, say(f"The job type is {word}", code=f"type_{word}"))
    if job.pool not in pools.names():
        return Refusal(Status.PENDING, pools.not_configured(job.pool or ""))
    problem = refusal_of(job)
    if problem is not None:
        return problem
    try:
        return handlers.resolve_handler(job.handler_method)
    except handlers.HandlerNotAllowed as error:
        return Refusal(Status.DEAD_LETTER, say("Handler not allowed.", code="handler_not_allowed"), detail=str(error))
    except handlers.HandlerNotLoadable as error:
        text = say("Handler not loadable.", code="handler_not_loadable")
        return Refusal(Status.PENDING, text, timing.NOT_LOADABLE_RETRY_SECONDS, is_not_loadable=True, detail=str(error))


def known_handler(job: JobRow) -> Handler | None:
    """Return the handler to run if it is loaded and known to be allowed; None otherwise, or if the job may not run.

    Nobody is asked and nothing imported: both may take seconds, and an import may end the process.
    """
    if job.handler_method is None or not job.is_enabled or job.is_paused:
        return None
    answer = answer_to(job)
    if answer is None or answer.refusal is not None:
        return None
    return handlers.loaded_handler(job.handler_method)


def _not_loadable_since(job: JobRow) -> float:
    """Return for how many seconds workers have not been able to load the handler; a retry begins anew."""
    logs = ExecutionLog.primary.filter(job_id=job.pk).order_by("id")
    not_loadable = Q(reason=LogReason.NOT_LOADABLE)
    other = logs.exclude(Q(to_status=Status.QUEUED) | not_loadable).last()
    first = logs.filter(not_loadable, id__gt=0 if other is None else other.pk).first()
    return 0.0 if first is None else (database.now() - first.timestamp).total_seconds()


@forgets
def forget_verdicts() -> None:
    """Forget all that is known, so that organization and policy are asked anew."""
    _answers.clear()
    _wanted.clear()


# Starting jobs: Running, each for one attempt, under a lease.


def move_to_running(attempts: Collection[AttemptKey], worker_name: str, via: Waypoint | None = None) -> list[Moved]:
    """Move jobs to Running, each for this attempt, under a lease: those that are queued, or that wait, by way of that.

    Rows in use do not move.
    """
    values: dict[str, Any] = {
        "attempt": store_values.INCREMENT,
        "worker_name": worker_name,
        "started_at": NOW,
        "lease_expires_at": After(float(jobs_settings.LEASE_SECONDS)),
        "progress": 0,
        "progress_message": "",
        "cancel_requested_at": None,
        "ready_at": None,
    }
    terms = Terms(sources=[Status.QUEUED], actor=WORKER, worker_name=worker_name, skip_locked=True)
    if via is not None:
        values |= {"queued_at": NOW, "next_retry_at": None}
        terms = replace(terms, sources=DISPATCHABLE, only_due=True, via=via)
    moves = [Move(pk=pk, to_status=Status.RUNNING, attempt=attempt - 1, values=values) for pk, attempt in attempts]
    return move(moves, terms)


# Claiming: a worker gives tickets and gets running jobs; jobs that may not run are turned away with the reason.


def claim_jobs(
    tickets: Sequence[Ticket],
    worker_name: str,
    fits: Callable[[Sequence[str]], int] = len,
    *,
    set_aside: Callable[[Sequence[Ticket]], object] | None = None,
    examining: Callable[[int], object] = lambda _: None,
) -> list[Claimed]:
    """Start the jobs of these tickets for this worker, and return those that run, in the tickets' order.

    ``fits`` gets the job types in that order and says how many of the first it will start at once; the other
    tickets are pushed again, to the front of the broker's queues. A ticket whose job is no longer queued for that
    attempt is void, and so is one that lay in another pool's queue than that of the job's type. Those whose rows
    another transaction holds are given to ``set_aside``, so that nobody waits behind them. Without it they are pushed
    to the backs of their queues, and a claim that meets only such rows takes :data:`CLAIM_IN_USE_SECONDS` longer.

    ``examining`` gets the key of each job before the policy is asked about it and its handler is loaded, since either
    may end the process; 0 when that is over.
    """
    queued, wanted = _read_queued(tickets)
    count = max(1, fits([ahead_name(job) for job in queued]))
    accepted, refused = _judge(queued[:count], wanted, worker_name, examining)
    examining(0)
    turned_away = move(refused, Terms(sources=[Status.QUEUED], actor=WORKER, worker_name=worker_name, skip_locked=True))
    started = move_to_running([item.key for item in accepted], worker_name)
    moved = {item.pk for item in [*turned_away, *started]}
    _push_again([wanted[job.pk] for job in queued[count:]], front=True)
    # These did not move only because another transaction holds their rows.
    if held := still_queued([wanted[job.pk] for job in queued[:count] if job.pk not in moved]):
        (set_aside or _push_again)(held)
        if set_aside is None and not moved:
            time.sleep(timing.CLAIM_IN_USE_SECONDS)
    running = {item.pk: item.queued_at for item in started}
    starting = [item for item in accepted if item.pk in running]
    _read_replaced(starting, running)
    return starting


def ahead_name(job: JobRow) -> str:
    """Return the job type by which is judged whether a job may be claimed before its slot is free.

    Not where every start counts: while it waited here, it would keep others from starting elsewhere. No such type runs
    fast, since none has that name.
    """
    return "" if job.starts_count else job.job_type_id


def _push_again(tickets: Sequence[Ticket], *, front: bool = False) -> None:
    try:
        if tickets:
            get_broker().push(tickets, front=front)
    except BrokerUnavailable:
        return  # the claimed jobs run; the scheduler misses these tickets and issues them again


def _read_queued(tickets: Sequence[Ticket]) -> tuple[list[JobRow], dict[int, Ticket]]:
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


def _is_for_pool(ticket: Ticket, job: JobRow) -> bool:
    """Return whether a ticket lay in a queue of the job's pool; also for a job that is turned away wherever it is."""
    return job.pool == ticket.pool or job.pool not in pools.names()


def _judge(
    jobs: Sequence[JobRow], wanted: dict[int, Ticket], worker_name: str, examining: Callable[[int], object]
) -> tuple[list[Claimed], list[Move]]:
    """Return which of the jobs may run now, and the moves of the others. Jobs of a kind are judged once."""
    verdicts: dict[tuple[Any, ...], Handler | Refusal] = {}
    accepted: list[Claimed] = []
    refused: list[Move] = []
    held = breaker.not_startable(jobs)
    for job in jobs:
        if job.seconds_left is not None and job.seconds_left <= 0:
            refused.append(backlog.expiration_move(job.pk, job.attempt))
            continue
        if job.pk in held:
            refused.append(refuse_claims(job, Refusal(Status.PENDING, breaker.NOT_STARTED)))
            continue
        key = _question(job)
        if key not in verdicts:
            examining(job.pk)
            verdicts[key] = examine_claims(job)
        verdict = verdicts[key]
        if isinstance(verdict, Refusal):
            refused.append(refuse_claims(job, verdict))
        else:
            accepted.append(claimed_job(job, wanted[job.pk], verdict, worker_name))
    return accepted, refused


def _read_replaced(claimed: Sequence[Claimed], queued_at: Mapping[int, Any]) -> None:
    """Read anew the jobs that were queued again after they had been read: they may have got other values."""
    changed = {item.pk: item for item in claimed if item.row.queued_at != queued_at[item.pk]}
    for job in store().claim_rows(list(changed)) if changed else ():
        item = changed[job.pk]
        item.parameters, item.metadata, item.timeout_seconds = job.input_parameters, job.metadata, job.timeout_seconds
        item.row = job


def claimed_job(job: JobRow, ticket: Ticket, handler: Handler, worker_name: str) -> Claimed:
    return Claimed(
        pk=job.pk,
        job_id=format_job_id(job.pk, job.created_at.year),  # the row's, since a ticket may be forged
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
        row=job,
    )


def still_queued(tickets: Sequence[Ticket]) -> list[Ticket]:
    """Return the tickets of jobs that are queued for these attempts, whoever holds their rows."""
    if not tickets:
        return []
    rows = Job.primary.filter(pk__in=[ticket.pk for ticket in tickets], status=Status.QUEUED)
    attempts = dict(rows.values_list("pk", "attempt"))
    return [ticket for ticket in tickets if attempts.get(ticket.pk) == ticket.attempt - 1]


# Dispatch and claim in one: a worker that comes back while a backlog waits takes its share of it, without tickets.
#
# It picks under the dispatcher's lock, by the same rule of turns, and what it picked goes from the backlog to Running
# in one statement that writes both rows of the Execution Log. What may not start at once goes the usual way, to the
# broker as far as that has room: jobs for which the policy has to be asked, since it must not hold up everybody; those
# whose handler is not loaded or may not be; those that expired; and more than the worker will start soon.


#: A smaller share costs more than the dispatcher's sets, and keeps its lock from others for too little.
MIN_SHARE: Final = 16


def take_share(
    queues: Collection[Queue],
    count: int,
    worker_name: str,
    fits: Callable[[Sequence[str]], int],
    about_to_start: Callable[[Sequence[Ticket]], object],
) -> list[Claimed] | None:
    """Start up to ``count`` jobs for these queues, and return those that run, in the order of their turns.

    ``fits`` gets job types and says how many of the first the worker will start soon, if any. ``about_to_start`` gets
    the tickets that the jobs would have, before they are moved; again if a lost race makes it necessary to begin anew.
    Return None if another process has the dispatcher's lock.
    """
    in_pools = {queue.pool for queue in queues}

    def start(picked: Sequence[Candidate]) -> tuple[list[Claimed], set[int]]:
        """Move what may start now to Running; return what runs, and the keys of the rest.

        Rows are locked before they are read, since a later submission may replace a waiting job's values. What came
        into another lane since it was picked is in neither: it was counted for the concurrency key of before, and waits
        for its turn there.
        """
        rows = {row.pk: row for row in store().claim_rows([item.pk for item in picked], locks=True)}
        picked = [item for item in picked if item.pk not in rows or rows[item.pk].lane_key == item.lane.key]
        rows_picked = [rows[item.pk] for item in picked if item.pk in rows]
        accepted = _accepted(rows_picked, fits, in_pools, worker_name) if rows_picked else []
        about_to_start([item.ticket for item in accepted])
        moved = move_to_running([item.key for item in accepted], worker_name, Waypoint(Status.QUEUED, SYSTEM))
        backlog.note_taken(moved)
        started = {item.pk for item in moved}
        left = {item.pk for item in picked} - {item.pk for item in accepted}
        return [item for item in accepted if item.pk in started], left

    until = time.monotonic() + timing.SHARE_POLICY_SECONDS
    ask_again(lambda: time.monotonic() > until)  # here, since under the lock nobody is asked
    share = turns.take_share(queues, count, start)
    if tenant_shares.ask() and share == ([], []):
        share = turns.take_share(queues, count, start)
    if share is None:
        return None
    claimed, queued = share
    tickets.push_tickets(queued)
    return claimed


def _accepted(
    found: Sequence[JobRow], fits: Callable[[Sequence[str]], int], in_pools: Collection[str], worker_name: str
) -> list[Claimed]:
    """Return the first of these jobs that the worker starts soon, as far as they are known to be allowed to.

    None goes before a more urgent one that is not known to be.
    """
    held = breaker.not_startable(found)  # one may have opened since this pass began
    waiting = [row for row in found if row.pk not in held]
    count = max(0, fits([ahead_name(row) for row in waiting]))
    accepted: list[Claimed] = []
    verdicts: dict[tuple[Any, ...], Handler | None] = {}
    least_urgent = int(Priority.LOW)
    for row in waiting[:count]:
        if row.priority < least_urgent:
            break
        kind = _question(row)  # jobs of a kind are judged once
        if kind not in verdicts:
            verdicts[kind] = known_handler(row)
        is_expired = row.seconds_left is not None and row.seconds_left <= 0
        handler = None if is_expired or row.pool not in in_pools else verdicts[kind]
        if handler is None:
            least_urgent = max(least_urgent, row.priority)
        else:
            ticket = Ticket(row.pk, row.created_at.year, row.attempt + 1, row.priority, row.pool or DEFAULT_POOL)
            accepted.append(claimed_job(row, ticket, handler, worker_name))
    return accepted
