"""What an operation does to a set of jobs whose rows it holds, and which jobs that fits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from django.db.models import Q, QuerySet

from django_jobs.engine.actors import SYSTEM, Actor, user_named
from django_jobs.engine.control import audit, cancel, retry, waiting_changes
from django_jobs.engine.control.cancel import cancel_many
from django_jobs.engine.control.deletion import delete_rows
from django_jobs.engine.control.retry import retry_many
from django_jobs.engine.store import database
from django_jobs.models import Job, Operation
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


def fitting(action: str, value: int | None = None) -> Q:
    """Return the condition that an action, with its value, changes a job."""
    return _FITTING[action](value)


def perform(order: Order, pks: Sequence[int]) -> Performed:
    """Do it to these jobs, whose rows the open transaction holds and which it fits."""
    return _PERFORM[order.action](order, pks) if pks else Performed()


def _retry(order: Order, pks: Sequence[int]) -> Performed:
    done = retry_many(
        pks,
        message=order.message(retry.MESSAGE),
        actor=order.actor,
        sources=RETRYABLE_BY_HAND,
        operation_id=order.operation_id,
    )
    changed = len(pks) - done.held - done.moved
    refused: Counter[str] = Counter({Refusal.DEAD_PARENT: done.held, Refusal.CHANGED: changed})
    return Performed(done.moved, 0, refused)


def _cancel(order: Order, pks: Sequence[int]) -> Performed:
    message = order.message(cancel.MESSAGE)
    done = cancel_many(pks, order.actor, message=message, operation_id=order.operation_id)
    changed = done.canceled + done.asked
    return Performed(changed, done.asked, Counter({Refusal.CHANGED: len(pks) - changed}))


def _delete(order: Order, pks: Sequence[int]) -> Performed:
    gone = delete_rows(pks, release_children=True).job_ids
    if gone:
        text = order.message("Deleted") + "."
        database.on_commit(lambda: audit.log("job", gone, audit.Act.DELETED, order.actor.name, text, "deleted"))
    return Performed(len(gone), 0, Counter({Refusal.KEPT: len(pks) - len(gone)}))


def _set_priority(order: Order, pks: Sequence[int]) -> Performed:
    priority = Priority(order.value or 0)
    text = say("Priority changed to %(priority)s", code="priority_changed", priority=priority.word)
    message = order.message(text)
    changed = waiting_changes.set_priority(pks, priority, order.actor, message, order.operation_id)
    return Performed(changed, 0, Counter({Refusal.CHANGED: len(pks) - changed}))


def _run_now(order: Order, pks: Sequence[int]) -> Performed:
    changed = waiting_changes.run_now(
        pks, order.actor, order.message(say("To run now", code="run_now")), order.operation_id
    )
    return Performed(changed, 0, Counter({Refusal.CHANGED: len(pks) - changed}))


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


_FITTING: Final[dict[str, Callable[[int | None], Q]]] = {
    Action.RETRY: lambda _: Q(status__in=sorted(RETRYABLE_BY_HAND)),
    Action.CANCEL: _to_cancel,
    Action.DELETE: lambda _: Q(status__in=sorted(TERMINAL)),
    Action.SET_PRIORITY: _to_change,
    Action.RUN_NOW: _to_run_now,
}
_PERFORM: Final[dict[str, Callable[[Order, Sequence[int]], Performed]]] = {
    Action.RETRY: _retry,
    Action.CANCEL: _cancel,
    Action.DELETE: _delete,
    Action.SET_PRIORITY: _set_priority,
    Action.RUN_NOW: _run_now,
}


def members(rows: QuerySet[Any], action: str, value: int | None, last_id: int | None = None) -> QuerySet[Job]:
    """Return those of the jobs that the action changes; with ``last_id``, of those up to that one."""
    found: QuerySet[Job] = rows.filter(fitting(action, value))
    return found if last_id is None else found.filter(pk__lte=last_id)
