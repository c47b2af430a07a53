"""Pausing and suspending, closing a breaker, and orders for workers."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, Final

from django.db import transaction

from django_jobs.engine import timing
from django_jobs.engine.access import get_policy
from django_jobs.engine.actors import actor_for
from django_jobs.engine.alerts import reading
from django_jobs.engine.control import audit
from django_jobs.engine.dispatch import dispatcher, limits
from django_jobs.engine.json_storage import is_storable_text
from django_jobs.engine.store import database
from django_jobs.exceptions import JobsError, JobTypeNotFound, PermissionDenied
from django_jobs.models import Breaker, JobType, Organization, Worker, WorkerOrder
from django_jobs.statuses import BreakerState
from django_jobs.texts import say

# Pausing and suspending: the switches of a job type and of the built-in organization, each set by a guarded write.
#
# And the writing of a type's other fields.


#: The switches of a job type: what the history says of each value.
SWITCHES: Final[Mapping[str, Mapping[bool, str]]] = MappingProxyType(
    {
        "is_paused": {True: say("Paused.", code="paused"), False: say("Resumed.", code="resumed")},
        "is_enabled": {True: say("Enabled.", code="enabled"), False: say("Disabled.", code="disabled")},
    }
)


def set_switch(kind: JobType, field: str, value: bool, *, user: Any = None) -> bool:
    """Set a switch of a job type by one guarded statement; return whether it had the other value."""
    _refuse_others(user, "job types")
    rows = JobType.primary.filter(pk=kind.pk).exclude(**{field: value})
    if not rows.update(**{field: value}):
        return False
    database.once_on_commit(reading.forget)  # alarms say how their type stands
    audit.record(user, [kind], audit.Act.CHANGED, SWITCHES[field][value])
    database.once_on_commit(dispatcher.wake)
    return True


def write_type(kind: JobType, names: Collection[str]) -> None:
    """Save these fields of a job type, and leave alone the others, which somebody may have changed meanwhile."""
    if names:
        kind.save(update_fields=names)
        database.once_on_commit(reading.forget)
        database.once_on_commit(dispatcher.wake)


def set_active(organization_pk: Any, value: bool, *, user: Any = None) -> bool:
    """Suspend a built-in organization, or reactivate it; return whether it was the other until now.

    False also where it is gone. A host's own organizations are the host's to suspend.
    """
    _refuse_others(user, "organizations")

    def run() -> Organization | None:
        row: Organization | None = database.locked(database.rows(Organization).filter(pk=organization_pk)).first()
        if row is None or row.is_active == value:
            return None
        row.is_active = value
        # save() sends the signal that lets waiting jobs go on; update() would not.
        row.save(update_fields=["is_active"], using=database.alias())
        return row

    changed = database.in_transaction(run)
    if changed is not None:
        text = say("Reactivated.", code="reactivated") if value else say("Suspended.", code="suspended")
        audit.record(user, [changed], audit.Act.CHANGED, text)
    return changed is not None


def _refuse_others(user: Any, what: str) -> None:
    if user is not None and not get_policy().is_system_admin(user):
        raise PermissionDenied(say(f"Only system admins pause and resume {what}.", code="not_system_admin"))


# Closing the breaker of a job type by hand.


def close_breaker(type_name: str, *, user: Any = None) -> bool:
    """Close the breaker of a job type now, so that its jobs start; return whether it was open or recovering.

    It counts anew from then on. Raises JobTypeNotFound, and PermissionDenied for a user who is no system admin; without
    a user it is the server's own code that asks.
    """
    kind = JobType.primary.filter(pk=type_name).first()
    if kind is None:
        text = say("There is no job type %(name)r.", code="unknown_job_type", name=type_name)
        raise JobTypeNotFound({"job_type": [text]})
    if user is not None and not get_policy().is_system_admin(user):
        raise PermissionDenied(say("Only system admins may close a breaker.", code="not_system_admin"))

    def close() -> bool:
        row = database.locked(Breaker.primary.filter(pk=kind.pk)).first()
        if row is None:
            return False
        was_closed = row.state == BreakerState.CLOSED
        limits.reset_breaker(row)
        row.save(using=database.alias())
        if not was_closed:
            audit.record(user, [kind], audit.Act.CHANGED, say("Closed its breaker.", code="breaker_closed"))
            database.once_on_commit(dispatcher.wake)
            database.once_on_commit(reading.forget)  # its alarm is no longer true
        return not was_closed

    return database.in_transaction(close)


# Orders for supervisors: to be quiet, to take jobs again, to stop. They are given here, and read by the supervisors.
#
# They are stored in the database and not sent over the broker, so that they arrive while that is away, too.


logger = logging.getLogger("django_jobs")

Order = WorkerOrder.Order
#: What the history says of an order, in English.
MESSAGES: Final = {
    Order.QUIET: say("Ordered to take no new jobs.", code="quiet"),
    Order.RESUME: say("Ordered to take jobs again.", code="resume"),
    Order.STOP: say("Ordered to stop.", code="stop"),
}


def live_worker(supervisor: str) -> Worker | None:
    """Return one of the supervisor's processes; None if it has left, or is called dead by now."""
    now, silence = database.now(), dt.timedelta(seconds=timing.WORKER_GONE_SECONDS)
    is_name = bool(supervisor) and is_storable_text(supervisor)
    fresh = Worker.primary.filter(supervisor=supervisor, last_seen__range=(now - silence, now + silence))
    return fresh.first() if is_name else None


def give_order(supervisor: str, order: WorkerOrder.Order, user: Any = None) -> bool:
    """Order a supervisor to do something; return whether it was ordered something else before, in place of which it is.

    One that was ordered nothing takes jobs. Raises PermissionDenied for a user who does not run the system, and
    JobsError for a supervisor that has left.
    """
    if user is not None and not get_policy().is_system_admin(user):
        raise PermissionDenied(say("Only system admins give orders to workers.", code="not_system_admin"))
    last = read_orders(supervisor)
    if order == (Order.RESUME if last is None else last.order):
        return False
    with transaction.atomic(using=database.alias()):
        worker = live_worker(supervisor)
        if worker is None:
            raise JobsError(say("It has left.", code="left"))
        values = {
            "hostname": worker.hostname,
            "supervisor_pid": worker.supervisor_pid,
            "order": order,
            "ordered_at": database.now(),
            "ordered_by": actor_for(user).name,
            "obeyed_at": None,
            "left_at": None,
        }
        given, _created = WorkerOrder.primary.update_or_create(supervisor=supervisor, defaults=values)
        audit.record(user, [given], audit.Act.CHANGED, MESSAGES[order])
    return True


def read_orders(supervisor: str) -> WorkerOrder | None:
    """Return what a supervisor was ordered last; None if nothing was."""
    return WorkerOrder.primary.filter(pk=supervisor).first()


def note_order_obeyed(order: WorkerOrder) -> None:
    """Note that its supervisor has read this order, unless there is another one by now."""
    _note(order, "obeyed_at")


def note_worker_left(order: WorkerOrder) -> None:
    """Note that its supervisor leaves because of this order."""
    _note(order, "left_at")


def _note(order: WorkerOrder, name: str) -> None:
    same = WorkerOrder.primary.filter(pk=order.pk, ordered_at=order.ordered_at)
    same.filter(**{f"{name}__isnull": True}).update(**{name: database.now()})


def forget_old_orders() -> int:
    """Delete the orders of supervisors of which no process is left, a day after they were given; return how many went.

    What is told by a process that lives is not looked for again and again: those that are quiet for days are few.
    """
    old = WorkerOrder.primary.filter(ordered_at__lt=database.now() - timing.ORDER_ANSWER_KEPT)
    pks = list(old.values_list("pk", flat=True))
    living = set(Worker.primary.filter(supervisor__in=pks).values_list("supervisor", flat=True)) if pks else set()
    gone = [pk for pk in pks if pk not in living]
    return WorkerOrder.primary.filter(pk__in=gone).delete()[0] if gone else 0
