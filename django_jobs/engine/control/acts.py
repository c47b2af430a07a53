"""What is done to jobs: cancel, retry, delete, priority, run now, and which jobs each fits."""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from django.db.models import Q, QuerySet

from django_jobs.engine import dependencies, transitions
from django_jobs.engine.access import find_among, find_job, get_policy
from django_jobs.engine.actors import SYSTEM, Actor, actor_for, user_named
from django_jobs.engine.control import audit
from django_jobs.engine.control.deletion import delete_rows
from django_jobs.engine.dispatch import dispatcher
from django_jobs.engine.ports import get_broker
from django_jobs.engine.store import database
from django_jobs.engine.store.values import NOW, Move, Moved, place_in_lane
from django_jobs.engine.transitions import RESET_FIELDS, move
from django_jobs.exceptions import BrokerUnavailable, InvalidTransition, PermissionDenied
from django_jobs.models import ExecutionLog, Job, JobDependency, Operation
from django_jobs.statuses import (
    DISPATCHABLE,
    RETRYABLE_BY_HAND,
    TERMINAL,
    UNFINISHED,
    WAITING,
    ActorKind,
    Priority,
    Status,
)
from django_jobs.texts import code_of, say

# Canceling a job: a waiting one ends at once, a running one is asked to stop.


CANCEL_MESSAGE: Final = say("Canceled before it ran", code="canceled")
NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


def cancel_job(job_id: str | Job, *, user: Any = None) -> Job:
    """Cancel a waiting job at once; ask a running one to stop (``cancel_requested_at``). Return it as it is then.

    A job that is canceled already stays as it is. Raises JobNotFound, PermissionDenied, and InvalidTransition when the
    job has already ended otherwise.
    """
    job = find_job(job_id, user)
    if user is not None and not get_policy().can_cancel(user, job):
        raise PermissionDenied(say("You may not cancel %(job)s.", code="permission_denied", job=job.name))
    database.in_transaction(lambda: _cancel(job.name, actor_for(user)))
    return find_job(job.name)


def _cancel(job_id: str, actor: Actor) -> None:
    job = find_among(database.locked(Job.primary.all()), job_id)
    if job.status in TERMINAL and job.status != Status.CANCELED:
        raise InvalidTransition(job.name, job.status, "cancel")
    cancel_many([job.pk], actor)


class CancelCounts(NamedTuple):
    """How many jobs were canceled, and how many run and were asked to stop."""

    canceled: int
    asked: int


def cancel_many(
    pks: Sequence[int], actor: Actor, *, message: str = CANCEL_MESSAGE, operation_id: int | None = None
) -> CancelCounts:
    """Cancel those of these jobs that wait, and ask those that run to stop, in the transaction that is open.

    Jobs that have ended are left out, and so are those whose rows somebody holds. Return how many were canceled or
    asked just now.
    """
    rows = Job.primary.filter(pk__in=pks).only("pk", "status", "created_at", "worker_name", "cancel_requested_at")
    jobs = list(database.locked(rows, skip=True))
    mark: dict[str, Any] = {} if operation_id is None else {"operation_id": operation_id}
    waiting = [_canceled(job.pk, actor, message, mark) for job in jobs if job.status in WAITING]
    running = [job for job in jobs if job.status == Status.RUNNING and job.cancel_requested_at is None]
    still_running = Job.primary.filter(pk__in=[job.pk for job in running])
    still_running.update(cancel_requested_at=database.now(), canceled_by=actor.name, **mark)
    stopped_by_worker: dict[str, list[str]] = defaultdict(list)
    for job in running:
        stopped_by_worker[job.worker_name].append(job.name)
    for name, job_ids in stopped_by_worker.items():
        database.on_commit(functools.partial(_tell_worker, name, job_ids))
    return CancelCounts(len(move(waiting, sources=WAITING, actor=actor)), len(running))


def _canceled(pk: int, actor: Actor, message: str = CANCEL_MESSAGE, more: Mapping[str, Any] = NOTHING) -> Move:
    values = {"canceled_at": NOW, "canceled_by": actor.name, "ready_at": None, "next_retry_at": None, **more}
    return Move(pk=pk, to_status=Status.CANCELED, message=message, values=values)


def _tell_worker(worker_name: str, job_ids: list[str]) -> None:
    try:
        get_broker().request_cancel(worker_name, job_ids)
    except BrokerUnavailable:
        return  # the request is in the database; the worker reads it when it renews its leases


# Retrying by hand: one job, or many Dead Letters in a few statements. Each starts over with all its retries.


RETRY_MESSAGE: Final = say("Retried by hand", code="retried")


def retry_job(job_id: str | Job, *, user: Any = None) -> Job:
    """Start a job over that failed, and return it: Pending again, with all its retries. ``attempt`` goes on counting.

    Raises JobNotFound, PermissionDenied, and InvalidTransition when the job has not failed, or when a job that it waits
    for ended without completing.
    """
    job = find_job(job_id, user)
    if user is not None and not get_policy().can_retry(user, job):
        raise PermissionDenied(say("You may not retry %(job)s.", code="permission_denied", job=job.name))
    database.in_transaction(lambda: _retry(job, actor_for(user)))
    return find_job(job.name)


def _retry(job: Job, actor: Actor) -> None:
    if retry_many([job.pk], message=RETRY_MESSAGE, actor=actor, sources=RETRYABLE_BY_HAND).moved:
        return
    status = find_job(job.name).status
    hindrance = dependencies.hindrance(job) if status in RETRYABLE_BY_HAND else ""
    raise InvalidTransition(job.name, status, "retry", hindrance or "")


def _reset(pk: int, message: str, *, has_parents: bool, operation_id: int | None = None) -> Move:
    """Return the move of a job that starts over. One with parents is ready only when they have been looked at."""
    values = {**RESET_FIELDS, "ready_at": None if has_parents else NOW, "operation_id": operation_id}
    return Move(pk=pk, to_status=Status.PENDING, message=message, values=values)


class Retried(NamedTuple):
    """How many jobs start over, and how many do not since a job that they wait for ended without completing."""

    moved: int
    held: int


def retry_many(
    pks: Sequence[int],
    *,
    message: str,
    actor: Actor,
    sources: Collection[str] = (Status.DEAD_LETTER,),
    operation_id: int | None = None,
) -> Retried:
    """Start these jobs over, in the transaction that is open; those that are in none of ``sources`` are left out.

    ``operation_id`` is the operation that does it, by whose outcome they count from now on.
    """
    links = JobDependency.primary.filter(child_id__in=pks)
    with_parents = set(links.values_list("child_id", flat=True))
    held = dependencies.without_hope(pks)
    free = [pk for pk in pks if pk not in held]
    moved: list[Moved] = []
    # Those with parents and those without write other values, and so are two statements.
    for has_parents in (False, True):
        chosen = [pk for pk in free if (pk in with_parents) == has_parents]
        moves = [_reset(pk, message, has_parents=has_parents, operation_id=operation_id) for pk in chosen]
        moved += move(moves, sources=sources, actor=actor)
    transitions.note_relatives(item.pk for item in moved if item.has_children or item.pk in with_parents)
    if moved:
        database.once_on_commit(dispatcher.wake)
    return Retried(len(moved), len(held))


# What an operation does to a set of jobs whose rows it holds, and which jobs that fits.


Action: Final = Operation.Action
Refusal: Final = Operation.Refusal


class Order(NamedTuple):
    """What is to be done, in the name of whom, and by which operation; None: by nobody's, but at once."""

    action: str
    actor: Actor
    value: int | None = None
    operation_id: int | None = None

    def message(self, text: str) -> str:
        """Return what the Execution Log says of it."""
        if self.operation_id is None:
            return text
        pattern = "%(done)s, in operation %(operation)d"
        return say(pattern, code=code_of(text, ""), done=text, operation=self.operation_id)


@dataclass(slots=True)
class Performed:
    """How many jobs were changed, how many of these were asked to stop, and how many were not changed, by Refusal."""

    changed: int = 0
    asked: int = 0
    refused: Counter[str] = field(default_factory=Counter)


def order_of(operation: Operation) -> Order:
    """Return what the operation does."""
    actor = SYSTEM if operation.actor_kind == ActorKind.SYSTEM else user_named(operation.user_name)
    return Order(operation.action, actor, operation.value, operation.pk)


def _retry_members(order: Order, pks: Sequence[int]) -> Performed:
    message = order.message(RETRY_MESSAGE)
    done = retry_many(
        pks, message=message, actor=order.actor, sources=RETRYABLE_BY_HAND, operation_id=order.operation_id
    )
    return Performed(done.moved, 0, Counter({Refusal.DEAD_PARENT: done.held}))


def _cancel_members(order: Order, pks: Sequence[int]) -> Performed:
    message = order.message(CANCEL_MESSAGE)
    done = cancel_many(pks, order.actor, message=message, operation_id=order.operation_id)
    return Performed(done.canceled + done.asked, done.asked)


def _delete_members(order: Order, pks: Sequence[int]) -> Performed:
    gone = delete_rows(pks, release_children=True).job_ids
    if gone:
        text = order.message("Deleted") + "."
        database.on_commit(lambda: audit.log("job", gone, audit.Act.DELETED, order.actor.name, text, "deleted"))
    return Performed(len(gone), 0, Counter({Refusal.KEPT: len(pks) - len(gone)}))


# Changing when, and how urgently, waiting jobs run. The caller's transaction holds their rows.
#
# What is changed is ready from now on: a walk over its lane may have passed the place that it had there. A job that has
# a ticket goes back to Pending, and gets a new ticket from the lane of its new priority; the old ticket is void.


def _set_priority(order: Order, pks: Sequence[int]) -> Performed:
    """Give these jobs another priority, as far as they wait."""
    priority = Priority(order.value or 0)
    text = say("Priority changed to %(priority)s", code="priority_changed", priority=priority.word)
    jobs, now, message = _read(pks), database.now(), order.message(text)
    # Who says one of the four priorities says no place within it.
    values: dict[str, Any] = {"priority": priority, "head_start": 0, "operation_id": order.operation_id}
    queued = [job.pk for job in jobs if job.status == Status.QUEUED]
    waiting = [job for job in jobs if job.status in DISPATCHABLE]
    withdrawn = {**values, "ready_at": now, "queued_at": None}
    moves = [Move(pk=pk, to_status=Status.PENDING, message=message, values=withdrawn) for pk in queued]
    moved = move(moves, sources=[Status.QUEUED], actor=order.actor)
    ready = [job.pk for job in waiting if job.ready_at is not None and job.ready_at <= now]
    held = [job.pk for job in waiting if job.ready_at is None or job.ready_at > now]
    Job.primary.filter(pk__in=ready).update(**values, ready_at=now, is_delayed=False)
    Job.primary.filter(pk__in=held).update(**values)
    _note(waiting, order.actor, message)
    if moved or ready:
        database.once_on_commit(dispatcher.wake)
    return Performed(len(moved) + len(waiting))


def _run_now(order: Order, pks: Sequence[int]) -> Performed:
    """Let these jobs run without waiting for a moment, as far as they do.

    Those that wait for other jobs go on waiting for these alone.
    """
    now = database.now()
    waiting = [job for job in _read(pks) if job.status in DISPATCHABLE]
    pending = [job for job in waiting if job.status == Status.PENDING]
    failed = [job.pk for job in waiting if job.status != Status.PENDING and job.ready_at is not None]
    ready = [job.pk for job in pending if job.ready_at is not None]
    held = [job.pk for job in pending if job.ready_at is None]
    due: dict[str, Any] = {"ready_at": place_in_lane(now), "is_delayed": False, "operation_id": order.operation_id}
    Job.primary.filter(pk__in=ready).update(**due, run_at=now)
    Job.primary.filter(pk__in=failed).update(**due, next_retry_at=now)
    Job.primary.filter(pk__in=held).update(run_at=now, operation_id=order.operation_id)
    changed = {*ready, *failed, *held}
    message = order.message(say("To run now", code="run_now"))
    _note([job for job in waiting if job.pk in changed], order.actor, message)
    if ready or failed:
        database.once_on_commit(dispatcher.wake)
    return Performed(len(changed))


def _read(pks: Sequence[int]) -> list[Job]:
    rows = Job.primary.filter(pk__in=pks).only("pk", "status", "ready_at", "attempt", "organization_id")
    return list(database.locked(rows, skip=True))


def _note(jobs: Sequence[Job], actor: Actor, message: str) -> None:
    """Write into the Execution Log of each job that something else than its status was changed."""
    now = database.now()
    ExecutionLog.primary.bulk_create(
        [
            ExecutionLog(
                job_id=job.pk,
                from_status=job.status,
                to_status=job.status,
                timestamp=now,
                actor=actor.name,
                actor_kind=actor.kind,
                message=message,
                attempt=job.attempt,
                organization_id=job.organization_id,
            )
            for job in jobs
        ]
    )


def _to_cancel(_value: int | None) -> Q:
    return Q(status__in=sorted(UNFINISHED), cancel_requested_at__isnull=True)


def _to_change(value: int | None) -> Q:
    return Q(status__in=sorted(WAITING)) & ~Q(priority=value)


def _to_run_now(_value: int | None) -> Q:
    """The jobs that wait for a moment to come; also those that wait for others and then for it."""
    now = database.now()
    return Q(status__in=sorted(DISPATCHABLE), ready_at__gt=now) | Q(
        status=Status.PENDING, ready_at__isnull=True, run_at__gt=now
    )


class JobAct(NamedTuple):
    """What the access policy is asked, which jobs it changes with its value, and doing it."""

    question: str
    fits: Callable[[int | None], Q]
    perform: Callable[[Order, Sequence[int]], Performed]


#: What can be done to jobs. Who may start a job over may also say when, and how urgently, it runs.
JOB_ACTS: Final[dict[str, JobAct]] = {
    Action.RETRY: JobAct("can_retry", lambda _: Q(status__in=sorted(RETRYABLE_BY_HAND)), _retry_members),
    Action.CANCEL: JobAct("can_cancel", _to_cancel, _cancel_members),
    Action.DELETE: JobAct("can_delete", lambda _: Q(status__in=sorted(TERMINAL)), _delete_members),
    Action.SET_PRIORITY: JobAct("can_retry", _to_change, _set_priority),
    Action.RUN_NOW: JobAct("can_retry", _to_run_now, _run_now),
}


def perform(order: Order, pks: Sequence[int]) -> Performed:
    """Do it to these jobs, whose rows the open transaction holds and which it fits."""
    done = JOB_ACTS[order.action].perform(order, pks) if pks else Performed()
    done.refused[Refusal.CHANGED] += len(pks) - done.changed - done.refused.total()
    return done


def members(rows: QuerySet[Any], action: str, value: int | None, last_id: int | None = None) -> QuerySet[Job]:
    """Return those of the jobs that the action changes; with ``last_id``, of those up to that one."""
    fitting_jobs: QuerySet[Job] = rows.filter(JOB_ACTS[action].fits(value))
    return fitting_jobs if last_id is None else fitting_jobs.filter(pk__lte=last_id)
