"""What is done to jobs: which jobs each act fits, who may, and doing it to those that somebody names."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy

from django_jobs.engine import dependencies, transitions
from django_jobs.engine.access import AccessPolicy, get_policy
from django_jobs.engine.actors import SYSTEM, Actor, actor_for, user_named
from django_jobs.engine.control import audit
from django_jobs.engine.control.deletion import delete_files_of, delete_rows
from django_jobs.engine.dispatch import dispatcher
from django_jobs.engine.insight.filter import with_ids
from django_jobs.engine.ports import get_broker
from django_jobs.engine.scope import Scope
from django_jobs.engine.store import database
from django_jobs.engine.store.values import NOW, Move, Terms, place_in_lane
from django_jobs.engine.transitions import RESET_FIELDS, move
from django_jobs.exceptions import BrokerUnavailable, InvalidTransition, JobNotFound, JobsError, PermissionDenied
from django_jobs.models import ExecutionLog, Job, JobDependency, Operation
from django_jobs.models.job import parse_job_id
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
from django_jobs.texts import marked as _

Action: Final = Operation.Action
Refusal: Final = Operation.Refusal


class Order(NamedTuple):
    """What is to be done, in the name of whom, and by which operation; None: by nobody's, but at once."""

    action: str
    actor: Actor
    value: int | None = None
    operation_id: int | None = None
    user: Any = None

    def message(self, text: str) -> str:
        """Return what the Execution Log says of it."""
        if self.operation_id is None:
            return text
        pattern = "%(done)s, in operation %(operation)d"
        return say(pattern, code=code_of(text, ""), done=text, operation=self.operation_id)


def order_of(operation: Operation) -> Order:
    """Return what the operation does."""
    actor = SYSTEM if operation.actor_kind == ActorKind.SYSTEM else user_named(operation.user_name)
    return Order(operation.action, actor, operation.value, operation.pk)


@dataclass(slots=True)
class Performed:
    """The keys of the jobs that were changed, of those among them that were asked to stop, and why others were not."""

    changed: set[int] = field(default_factory=set)
    asked: set[int] = field(default_factory=set)
    refused: dict[int, str] = field(default_factory=dict)
    #: What a person is told of a refused job, where its code does not say it.
    reasons: dict[int, str] = field(default_factory=dict)


# Canceling: a waiting job ends at once, a running one is asked to stop.


CANCEL_MESSAGE: Final = say("Canceled before it ran", code="canceled")


def _cancel(order: Order, pks: Sequence[int]) -> Performed:
    """Cancel those of these jobs that wait, and ask those that run to stop.

    Jobs that have ended are left out, and so are those whose rows somebody holds, and those that were asked before.
    """
    actor, message = order.actor, order.message(CANCEL_MESSAGE)
    rows = Job.primary.filter(pk__in=pks).only("pk", "status", "created_at", "worker_name", "cancel_requested_at")
    jobs = list(database.locked(rows, skip=True))
    mark: dict[str, Any] = {} if order.operation_id is None else {"operation_id": order.operation_id}
    waiting = [_canceled(job.pk, actor, message, mark) for job in jobs if job.status in WAITING]
    running = [job for job in jobs if job.status == Status.RUNNING and job.cancel_requested_at is None]
    asked = {job.pk for job in running}
    Job.primary.filter(pk__in=asked).update(cancel_requested_at=database.now(), canceled_by=actor.name, **mark)
    stopped_by_worker: dict[str, list[str]] = defaultdict(list)
    for job in running:
        stopped_by_worker[job.worker_name].append(job.name)
    for name, job_ids in stopped_by_worker.items():
        database.on_commit(functools.partial(_tell_worker, name, job_ids))
    return Performed({item.pk for item in move(waiting, Terms(sources=WAITING, actor=actor))} | asked, asked)


def _canceled(pk: int, actor: Actor, message: str, more: Mapping[str, Any]) -> Move:
    values = {"canceled_at": NOW, "canceled_by": actor.name, "ready_at": None, "next_retry_at": None, **more}
    return Move(pk=pk, to_status=Status.CANCELED, message=message, values=values)


def _tell_worker(worker_name: str, job_ids: list[str]) -> None:
    try:
        get_broker().request_cancel(worker_name, job_ids)
    except BrokerUnavailable:
        return  # the request is in the database; the worker reads it when it renews its leases


# Retrying by hand: jobs start over with all their retries, and ``attempt`` goes on counting.


RETRY_MESSAGE: Final = say("Retried by hand", code="retried")


def _reset(pk: int, message: str, *, has_parents: bool, operation_id: int | None) -> Move:
    """Return the move of a job that starts over. One with parents is ready only when they have been looked at."""
    values = {**RESET_FIELDS, "ready_at": None if has_parents else NOW, "operation_id": operation_id}
    return Move(pk=pk, to_status=Status.PENDING, message=message, values=values)


def _retry(order: Order, pks: Sequence[int]) -> Performed:
    """Start those of these jobs over that failed. A job does not that waits for one which ended without completing."""
    message = order.message(RETRY_MESSAGE)
    links = JobDependency.primary.filter(child_id__in=pks)
    with_parents = set(links.values_list("child_id", flat=True))
    held = dependencies.hindrances(pks)
    free = [pk for pk in pks if pk not in held]
    moved = []
    # Those with parents and those without write other values, and so are two statements.
    for has_parents in (False, True):
        chosen = [pk for pk in free if (pk in with_parents) == has_parents]
        moves = [_reset(pk, message, has_parents=has_parents, operation_id=order.operation_id) for pk in chosen]
        moved += move(moves, Terms(sources=RETRYABLE_BY_HAND, actor=order.actor))
    transitions.note_relatives(item.pk for item in moved if item.has_children or item.pk in with_parents)
    if moved:
        database.once_on_commit(dispatcher.wake)
    return Performed({item.pk for item in moved}, refused=dict.fromkeys(held, Refusal.DEAD_PARENT), reasons=held)


def _delete(order: Order, pks: Sequence[int]) -> Performed:
    """Delete these jobs. Only an operation leaves their files to the scheduler, and its one line is the history."""
    jobs = Job.primary.only("pk", "created_at").in_bulk(pks) if order.operation_id is None else {}
    names = delete_rows(pks, release_children=True).job_ids
    gone = {parsed[0] for name in names if (parsed := parse_job_id(name))}
    text = say("%(done)s.", code="deleted", done=order.message("Deleted"))
    if order.operation_id is None:
        audit.record(order.user, [jobs[pk] for pk in pks if pk in gone], audit.Act.DELETED, text)
        database.on_commit(lambda: delete_files_of(names))
    elif gone:
        database.on_commit(lambda: audit.log("job", names, audit.Act.DELETED, order.actor.name, text, text.code))
    return Performed(gone, refused={pk: Refusal.KEPT for pk in pks if pk not in gone})


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
    moved = move(moves, Terms(sources=[Status.QUEUED], actor=order.actor))
    ready = [job.pk for job in waiting if job.ready_at is not None and job.ready_at <= now]
    held = [job.pk for job in waiting if job.ready_at is None or job.ready_at > now]
    Job.primary.filter(pk__in=ready).update(**values, ready_at=now, is_delayed=False)
    Job.primary.filter(pk__in=held).update(**values)
    _note(waiting, order.actor, message)
    if moved or ready:
        database.once_on_commit(dispatcher.wake)
    return Performed({item.pk for item in moved} | {job.pk for job in waiting})


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
    return Performed(changed)


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


def _to_run_now(_value: int | None) -> Q:
    """The jobs that wait for a moment to come; also those that wait for others and then for it."""
    now = database.now()
    return Q(ready_at__gt=now) | Q(status=Status.PENDING, ready_at__isnull=True, run_at__gt=now)


# What can be done to jobs, in one table.


class JobAct(NamedTuple):
    """An act: which question the access policy is asked, which jobs it fits, how it is done, and what is said of it."""

    question: str
    #: In which statuses it can be done; ``narrow`` says what else must hold, with the value of the act.
    statuses: frozenset[Status]
    perform: Callable[[Order, Sequence[int]], Performed]
    #: How a job is called to which it was done.
    done: str
    #: What happens to the jobs, which people read before it does.
    consequence: Any
    #: Jobs that it changes in a second where nothing was measured yet: as PostgreSQL does it on two cores.
    usual_speed: float
    narrow: Callable[[int | None], Q] = lambda _value: Q()
    #: Why it does not fit a job, where the status alone does not tell.
    misfit: str = ""
    #: Whether its value is a priority.
    takes_priority: bool = False
    #: Whether the jobs run afterwards, so that one may be tried first, and failures are counted.
    runs: bool = False
    #: Whether something becomes of the jobs afterwards that an operation counts.
    is_followed: bool = True
    #: Whether it has a button on the page of one job.
    is_for_one: bool = True


NOT_WAITING: Final = say(_("it is not waiting for that"), code="not_waiting")

#: Who may start a job over may also say when, and how urgently, it runs.
JOB_ACTS: Final[dict[str, JobAct]] = {
    Action.CANCEL: JobAct(
        "can_cancel",
        UNFINISHED,
        _cancel,
        "canceled",
        gettext_lazy(
            "Waiting jobs end at once. Running ones are asked to stop and end within moments. Jobs that wait for them "
            "to complete are canceled with them."
        ),
        1_400.0,
        narrow=lambda _value: Q(cancel_requested_at__isnull=True),
    ),
    Action.RETRY: JobAct(
        "can_retry",
        RETRYABLE_BY_HAND,
        _retry,
        "retried",
        gettext_lazy(
            "Each starts over with all its retries; its error, result and times are cleared. Jobs that died because of "
            "it come to life again."
        ),
        1_500.0,
        runs=True,
    ),
    Action.DELETE: JobAct(
        "can_delete",
        TERMINAL,
        _delete,
        "deleted",
        gettext_lazy(
            "Each goes with its Execution Log and the files that it saved. Jobs that depend on it wait for it no "
            "longer, and cannot read its result. This cannot be undone."
        ),
        1_800.0,
        is_followed=False,
        is_for_one=False,
    ),
    Action.SET_PRIORITY: JobAct(
        "can_retry",
        WAITING,
        _set_priority,
        "changed",
        gettext_lazy("Each waits again among the jobs of its new priority, as the last of them."),
        1_100.0,
        narrow=lambda value: ~Q(priority=value),
        misfit=NOT_WAITING,
        takes_priority=True,
        is_followed=False,
        is_for_one=False,
    ),
    Action.RUN_NOW: JobAct(
        "can_retry",
        DISPATCHABLE,
        _run_now,
        "made due",
        gettext_lazy(
            "Jobs that wait for a moment, or for their next retry, wait for it no longer. Those that wait for other "
            "jobs go on waiting for these."
        ),
        1_200.0,
        narrow=_to_run_now,
        misfit=NOT_WAITING,
        runs=True,
        is_for_one=False,
    ),
}


def is_offered(action: str, status: str, *, is_stopping: bool = False) -> bool:
    """Return whether the act may be offered for a job in this status; who may is not asked here.

    Only a job that was asked to stop already (``is_stopping``) is not to be canceled.
    """
    return status in JOB_ACTS[action].statuses and not (action == Action.CANCEL and is_stopping)


def members(rows: QuerySet[Any], action: str, value: int | None, last_id: int | None = None) -> QuerySet[Job]:
    """Return those of the jobs that the action changes; with ``last_id``, of those up to that one."""
    act_on_jobs = JOB_ACTS[action]
    fitting: QuerySet[Job] = rows.filter(Q(status__in=sorted(act_on_jobs.statuses)) & act_on_jobs.narrow(value))
    return fitting if last_id is None else fitting.filter(pk__lte=last_id)


def perform(order: Order, pks: Sequence[int]) -> Performed:
    """Do it to these jobs, whose rows the open transaction holds and which it fits."""
    done = JOB_ACTS[order.action].perform(order, pks) if pks else Performed()
    others = (pk for pk in pks if pk not in done.changed and pk not in done.refused)
    done.refused |= dict.fromkeys(others, Refusal.CHANGED)
    return done


# Who may act: the access policy is asked for each job.


#: What the built-in answers depend on.
_ASKED: Final = ("organization_id", "job_type_id", "owner_id")
#: Columns that few policies read.
LARGE: Final = ("input_parameters", "metadata", "result", "output_reference", "error_message")


def is_built_in(action: str) -> bool:
    """Return whether the built-in policy says who may do this to which jobs, so that equal facts have equal answers.

    A host's own answer may depend on anything.
    """
    policy = type(get_policy())
    return all(getattr(policy, name) is getattr(AccessPolicy, name) for name in ("can_view", JOB_ACTS[action].question))


class ActRights:
    """What one user may do, remembered for a moment: make one for each batch of jobs."""

    def __init__(self, action: str, user: Any) -> None:
        self._scope = Scope(user)
        self._question = JOB_ACTS[action].question
        self.is_built_in = user is None or is_built_in(action)
        self._known: dict[tuple[Any, ...], bool] = {}

    def read(self, rows: QuerySet[Job]) -> list[Job]:
        """Return these jobs with what is asked of each; where the host answers, with all but the large columns."""
        return list(rows.only(*_ASKED) if self.is_built_in else rows.defer(*LARGE))

    def sees(self, job: Job) -> bool:
        """Return whether the user may know of this job of an organization whose jobs they may see."""
        return self._scope.shows(job)

    def may(self, job: Job) -> bool:
        """Return whether the user may see this job and do it. Server code, which is no user, may do all."""
        if not self.is_built_in:
            return self.sees(job) and self._scope.may(self._question, job)
        key = (job.organization_id, job.job_type_id, job.owner_id)
        if key not in self._known:
            self._known[key] = self._scope.may(self._question, job)
        return self._known[key]


# One act on jobs that somebody names: a transaction for each page of them. What cannot be done to one hinders no other.


#: Jobs of one transaction.
PAGE: Final = 500
#: What became of a named job, beside the word of the act for what was done.
ASKED: Final = "asked_to_stop"
UNCHANGED: Final = "unchanged"  # it was so already
REFUSED: Final = "refused"
UNKNOWN: Final = "unknown"
IN_USE: Final = say(
    _("other data need it, or a job that waited for it is just ending; try again"),
    code="in_use",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActOutcome:
    """What became of one named job or batch. ``status`` is the one that it has then, blank for one that is gone.

    ``error`` is there where it was refused or is unknown, and says why.
    """

    name: str
    result: str
    status: str = ""
    error: JobsError | None = None


def act(
    action: str, names: Sequence[str], *, user: Any = None, value: int | None = None, is_trial: bool = False
) -> list[ActOutcome]:
    """Do this to the jobs with these ids, in the name of a user; return what became of each, in their order.

    The access policy is asked for each job; server code (None) may do all. A set of jobs that a filter names is for
    ``start_operation``. ``value`` is the new priority. With ``is_trial`` nothing is changed, and the answer says what
    would become of each.
    """
    order = Order(action, actor_for(user), value, user=user)
    pages = (names[start : start + PAGE] for start in range(0, len(names), PAGE))
    return [outcome for page in pages for outcome in _act_on_page(order, page, is_trial=is_trial)]


def _act_on_page(order: Order, names: Sequence[str], *, is_trial: bool) -> list[ActOutcome]:
    rights = ActRights(order.action, order.user)
    rows = Job.primary.all() if order.user is None else Job.primary.visible_to(order.user)
    ids = [parsed for name in names if (parsed := parse_job_id(name)) is not None]
    jobs = {job.name: job for job in rows.filter(with_ids(ids)).defer(*LARGE) if rights.sees(job)} if ids else {}
    permitted = {job.pk for job in jobs.values() if rights.may(job)}

    def run() -> tuple[Performed, dict[int, Job]]:
        with transaction.atomic(using=database.alias(), savepoint=is_trial):
            chosen = members(Job.primary.filter(pk__in=permitted), order.action, order.value)
            fitting = {job.pk: job for job in database.locked(chosen.only("pk", "created_at").order_by("pk"))}
            done = perform(order, [job.pk for name in names if (job := jobs.get(name)) and job.pk in fitting])
            if is_trial:
                transaction.set_rollback(True, using=database.alias())
        now = Job.primary.filter(pk__in=permitted).only("pk", "created_at", "status", "cancel_requested_at")
        return done, now.in_bulk()

    done, after = database.in_transaction(run) if permitted else (Performed(), {})
    return [_outcome(order, name, jobs.get(name), permitted, done, after) for name in names]


def _outcome(
    order: Order, name: str, job: Job | None, permitted: set[int], done: Performed, after: Mapping[int, Job]
) -> ActOutcome:
    if job is None or (job.pk in permitted and job.pk not in done.changed and job.pk not in after):
        unknown = JobNotFound(say("There is no job %(job)r.", code="unknown_job", job=name))
        return ActOutcome(name=name, result=UNKNOWN, error=unknown)
    row = after.get(job.pk)
    status = str(row.status) if row is not None else "" if job.pk in done.changed else str(job.status)
    if job.pk in done.changed:
        result = ASKED if job.pk in done.asked else JOB_ACTS[order.action].done
        return ActOutcome(name=name, result=result, status=status)
    if job.pk not in permitted:
        verb = order.action.replace("_", " ")
        error: JobsError = PermissionDenied(say(f"You may not {verb} %(job)s.", code="permission_denied", job=name))
    elif order.action == Action.CANCEL and row is not None and is_canceled(row):
        return ActOutcome(name=name, result=UNCHANGED, status=status)
    else:
        reason = IN_USE if done.refused.get(job.pk) == Refusal.KEPT else JOB_ACTS[order.action].misfit
        error = InvalidTransition(name, status, order.action, done.reasons.get(job.pk) or reason)
    return ActOutcome(name=name, result=REFUSED, status=status, error=error)


def is_canceled(job: Job) -> bool:
    """Return whether the job is canceled, or runs and was asked to stop."""
    return job.status == Status.CANCELED or (job.status == Status.RUNNING and job.cancel_requested_at is not None)


def _act_on_one(action: str, job_id: str | Job, user: Any) -> None:
    (outcome,) = act(action, [job_id.name if isinstance(job_id, Job) else job_id], user=user)
    if outcome.error is not None:
        raise outcome.error


def cancel_job(job_id: str | Job, *, user: Any = None) -> Job:
    """Cancel a waiting job at once; ask a running one to stop (``cancel_requested_at``). Return it as it is then.

    A job that is canceled already stays as it is. Raises JobNotFound, PermissionDenied, and InvalidTransition when the
    job has already ended otherwise.
    """
    _act_on_one(Action.CANCEL, job_id, user)
    return Scope().job(job_id)


def retry_job(job_id: str | Job, *, user: Any = None) -> Job:
    """Start a job over that failed, and return it: Pending again, with all its retries. ``attempt`` goes on counting.

    Raises JobNotFound, PermissionDenied, and InvalidTransition when the job has not failed, or when a job that it waits
    for ended without completing.
    """
    _act_on_one(Action.RETRY, job_id, user)
    return Scope().job(job_id)


def delete_job(job_id: str | Job, *, user: Any = None) -> None:
    """Delete a job that has ended, with its history and files.

    Raises JobNotFound, PermissionDenied, and InvalidTransition when it has not ended, or other data need it.
    """
    _act_on_one(Action.DELETE, job_id, user)
