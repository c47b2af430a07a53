"""Orders for supervisors: to be quiet, to take jobs again, to stop. They are given here, and read by the supervisors.

They are stored in the database and not sent over the broker, so that they arrive while that is away, too.
"""

from __future__ import annotations

import datetime as dt
import logging
from typing import Any, Final

from django.db import transaction

from django_jobs.engine.access import get_policy
from django_jobs.engine.actors import actor_for
from django_jobs.engine.control import audit
from django_jobs.engine.dispatch.window import FRESH_SECONDS
from django_jobs.engine.json_storage import is_storable_text
from django_jobs.engine.store import database
from django_jobs.exceptions import PermissionDenied
from django_jobs.models import Worker, WorkerOrder
from django_jobs.texts import say

logger = logging.getLogger("django_jobs")

Order = WorkerOrder.Order
#: How long it is told what came of an order to a supervisor that is gone.
TOLD: Final = dt.timedelta(days=1)
#: What the history says of an order, in English.
MESSAGES: Final = {
    Order.QUIET: say("Ordered to take no new jobs.", code="quiet"),
    Order.RESUME: say("Ordered to take jobs again.", code="resume"),
    Order.STOP: say("Ordered to stop.", code="stop"),
}


def give(supervisor: str, order: WorkerOrder.Order, user: Any = None) -> WorkerOrder | None:
    """Order a supervisor to do something, in place of what it was ordered before; return the stored order.

    None if it has left, or is called dead by now. Raises PermissionDenied for a user who does not run the system.
    """
    refuse_others(user)
    now = database.now()
    with transaction.atomic(using=database.alias()):
        fresh = (now - dt.timedelta(seconds=FRESH_SECONDS), now + dt.timedelta(seconds=FRESH_SECONDS))
        is_name = bool(supervisor) and is_storable_text(supervisor)
        worker = Worker.primary.filter(supervisor=supervisor, last_seen__range=fresh).first() if is_name else None
        if worker is None:
            return None
        values = {
            "hostname": worker.hostname,
            "supervisor_pid": worker.supervisor_pid,
            "order": order,
            "ordered_at": now,
            "ordered_by": actor_for(user).name,
            "obeyed_at": None,
            "left_at": None,
        }
        given, _created = WorkerOrder.primary.update_or_create(supervisor=supervisor, defaults=values)
        audit.record(user, [given], audit.Act.CHANGED, MESSAGES[order])
    return given


def refuse_others(user: Any) -> None:
    """Raise PermissionDenied for a user who does not run the system."""
    if user is not None and not get_policy().is_system_admin(user):
        raise PermissionDenied(say("Only system admins give orders to workers.", code="not_system_admin"))


def is_last(supervisor: str, order: WorkerOrder.Order) -> bool:
    """Return whether a supervisor was ordered this last; one that was ordered nothing takes jobs."""
    last = read(supervisor)
    return order == (Order.RESUME if last is None else last.order)


def read(supervisor: str) -> WorkerOrder | None:
    """Return what a supervisor was ordered last; None if nothing was."""
    return WorkerOrder.primary.filter(pk=supervisor).first()


def note_obeyed(order: WorkerOrder) -> None:
    """Note that its supervisor has read this order, unless there is another one by now."""
    _note(order, "obeyed_at")


def note_left(order: WorkerOrder) -> None:
    """Note that its supervisor leaves because of this order."""
    _note(order, "left_at")


def _note(order: WorkerOrder, name: str) -> None:
    same = WorkerOrder.primary.filter(pk=order.pk, ordered_at=order.ordered_at)
    same.filter(**{f"{name}__isnull": True}).update(**{name: database.now()})


def forget_old() -> int:
    """Delete the orders of supervisors of which no process is left, a day after they were given; return how many went.

    What is told by a process that lives is not looked for again and again: those that are quiet for days are few.
    """
    old = WorkerOrder.primary.filter(ordered_at__lt=database.now() - TOLD)
    pks = list(old.values_list("pk", flat=True))
    living = set(Worker.primary.filter(supervisor__in=pks).values_list("supervisor", flat=True)) if pks else set()
    gone = [pk for pk in pks if pk not in living]
    return WorkerOrder.primary.filter(pk__in=gone).delete()[0] if gone else 0
