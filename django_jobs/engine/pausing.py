"""What can be paused and goes on when it is resumed, in one table: a row for each kind of thing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django_jobs.engine.control import operations, switches
from django_jobs.engine.control.switches import Order
from django_jobs.engine.schedules.definitions import pause_schedule, resume_schedule
from django_jobs.exceptions import InvalidOperation
from django_jobs.models import JobType, Schedule
from django_jobs.texts import say


def _schedule(schedule: Schedule, value: bool, user: Any) -> bool:
    was_paused = not schedule.is_enabled
    (pause_schedule if value else resume_schedule)(schedule, user=user)
    return was_paused != value


def _breaker(kind: JobType, value: bool, user: Any) -> bool:
    if value:
        raise InvalidOperation({"breaker": [say("A breaker opens by itself.", code="opens_by_itself")]})
    return switches.close_breaker(kind.pk, user=user)


#: By kind: what pauses one (True) or resumes it, and returns whether it was different.
PAUSABLE: Final[dict[str, Callable[[Any, bool, Any], bool]]] = {
    "job_type": lambda kind, value, user: switches.set_switch(kind, "is_paused", value, user=user),
    "schedule": _schedule,
    "operation": lambda row, value, user: (operations.pause if value else operations.resume)(row, user=user),
    "organization": lambda pk, value, user: switches.set_active(pk, not value, user=user),
    "worker": lambda name, value, user: switches.give_order(name, Order.QUIET if value else Order.RESUME, user),
    "breaker": _breaker,
}


def set_paused(kind: str, target: Any, value: bool, *, user: Any = None) -> bool:
    """Pause a target, or let it go on; return whether it was different until now.

    The target is a job type, a schedule or an operation, the key of a built-in organization, the name of a supervisor,
    or the job type of a breaker, which can only be closed. Raises PermissionDenied, and JobsError where that can no
    longer be done.
    """
    return PAUSABLE[kind](target, value, user)
