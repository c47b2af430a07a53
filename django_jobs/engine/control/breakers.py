"""Closing the breaker of a job type by hand."""

from __future__ import annotations

from typing import Any

from django_jobs.engine.access import get_policy
from django_jobs.engine.alerts import reading
from django_jobs.engine.control import audit
from django_jobs.engine.dispatch import breaker_rules, dispatcher
from django_jobs.engine.store import database
from django_jobs.exceptions import JobTypeNotFound, PermissionDenied
from django_jobs.models import Breaker, JobType
from django_jobs.statuses import BreakerState
from django_jobs.texts import say


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
        breaker_rules.reset(row)
        row.save(using=database.alias())
        if not was_closed:
            audit.record(user, [kind], audit.Act.CHANGED, say("Closed its breaker.", code="breaker_closed"))
            database.once_on_commit(dispatcher.wake)
            database.once_on_commit(reading.forget)  # its alarm is no longer true
        return not was_closed

    return database.in_transaction(close)
