"""Acting on all jobs that a filter names: retry, cancel, delete, change of priority, run now.

An operation outlives the browser and the process that started it. The leading scheduler works it off
(``operation_work``): it walks the matching jobs once, from the oldest to the one that was the newest when the operation
started, as fast as it goes or at a rate. A job that does not match any more when the walk comes to it stays as it is.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import QuerySet
from django.utils import translation
from django.utils.translation import gettext as _

from django_jobs.conf import jobs_settings
from django_jobs.engine.access import get_policy
from django_jobs.engine.actors import SYSTEM, actor_for
from django_jobs.engine.control import audit
from django_jobs.engine.control.operation_actions import Action
from django_jobs.engine.control.operation_requests import Request
from django_jobs.engine.control.operation_rights import Rights
from django_jobs.engine.insight.counting_in_time import walked_in_time
from django_jobs.engine.insight.filter_input import without_secrets
from django_jobs.engine.insight.job_filter import JobFilter
from django_jobs.engine.insight.operation_speed import read_speeds
from django_jobs.engine.job_types.masking import sensitive_names
from django_jobs.engine.store import database
from django_jobs.engine.store.organization_ids import read_tenants
from django_jobs.exceptions import InvalidOperation, PermissionDenied
from django_jobs.models import Job, Operation
from django_jobs.models.operation import OPEN
from django_jobs.statuses import Priority
from django_jobs.texts import say

State: Final = Operation.State

#: Of so many of the newest matching jobs, the user must be allowed to act on one, or nothing is started.
SAMPLED: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """How many jobs an operation would act on, and about how long it would take.

    With ``count_capped`` there may be more, since counting them all would take too long.
    """

    count: int
    count_capped: bool
    eta_seconds: float


def estimate(request: Request, *, user: Any = None) -> Estimate:
    """Return how many jobs the operation would act on, and how long it would take; nothing is stored.

    Raises what :func:`start_operation` raises.
    """
    request.check()
    with walked_in_time("filters", is_walked=request.filters.is_walked):
        _permitted(request, user)
        count, is_capped = request.count(user)
    seconds = read_speeds()[request.action].seconds_for(count, request.rate)
    return Estimate(count=count, count_capped=is_capped, eta_seconds=seconds)


def start_operation(request: Request, *, user: Any = None) -> Operation:
    """Start to act on all jobs that match, in the name of this user (None: of server code), and return the operation.

    Raises InvalidOperation with what is wrong by field, also where no job matches, and PermissionDenied where the
    access policy lets the user act on none of the newest that match.
    """
    request.check()
    with walked_in_time("filters", is_walked=request.filters.is_walked):
        rows = _permitted(request, user)
        total, has_more = request.count(user)
        last_id = rows.order_by("-pk").values_list("pk", flat=True).first() or 0
    now, actor = database.now(), actor_for(user)
    operation = Operation(
        action=request.action,
        filters=request.filters.as_json(),
        value=request.stored_value,
        user_id=getattr(user, "pk", None),
        user_name=actor.name,
        actor_kind=actor.kind,
        per_minute=request.rate,
        stop_above=request.stop_above,
        tries_one_first=request.try_first,
        started_at=now,
        # The first one is due at once.
        released_until=now - dt.timedelta(minutes=1 / (request.rate or 1)),
        total=total,
        has_more=has_more,
        last_id=last_id,
    )
    database.in_transaction(lambda: _store(operation, user))
    return operation


def _store(operation: Operation, user: Any) -> None:
    operation.pk = None  # a try before may have drawn one
    operation.save(force_insert=True, using=database.alias())
    audit.record(user, [operation], audit.Act.ADDED, describe(operation))


def _permitted(request: Request, user: Any) -> QuerySet[Job]:
    """Return the jobs that it would change, as far as they are looked at before it starts.

    The user must be allowed to do it to one of the newest of them.
    """
    found = request.members(user)
    rights = Rights(request.action, user)
    sample = rights.read(found.rows.order_by("-pk")[:SAMPLED])
    if not sample:
        text = say(_("There is no job that matches and to which this could be done now."), code="nothing_matches")
        raise InvalidOperation({"filters": [text]})
    if not any(rights.may(job) for job in sample):
        raise PermissionDenied(say(_("You may not do this to any of these jobs."), code="permission_denied"))
    return found.rows


def describe(operation: Operation) -> str:
    """Return what the operation does in a line for the history, in English: action, value, filter and rate."""
    value = "" if operation.value is None else f" {Priority(operation.value).word}"
    with translation.override("en"):
        filters = without_secrets(JobFilter.from_json(operation.filters), sensitive_names())
        parts = ", ".join(f"{name} {text}" for name, text in filters.words())
    rate = "" if operation.per_minute is None else f"; {operation.per_minute} a minute"
    return f"{operation.action}{value}: {parts}{rate}"


def may_operate(user: Any, filters: JobFilter) -> bool:
    """Return whether the user manages one of the organizations in question, or all of them.

    That alone permits nothing: the access policy is asked for each job.
    """
    policy = get_policy()
    if policy.is_system_admin(user):
        return True
    tenants = read_tenants(list(filters.organizations_for(user) or ()))
    return any(policy.is_organization_admin(user, tenant) for tenant in tenants.values())


def operations_seen_by(user: Any) -> QuerySet[Operation]:
    """Return all operations for system admins and server code, since they are about all organizations; for others
    those that they started.
    """
    rows = Operation.primary.order_by("-pk")
    return rows if user is None or get_policy().is_system_admin(user) else rows.filter(user_id=user.pk)


def pause(operation: Operation, *, user: Any = None) -> bool:
    """Pause the operation, and return whether it ran until now."""
    return _switch(operation, {State.RUNNING}, user, "Paused.", state=State.PAUSED, reason="", note="")


def resume(operation: Operation, *, user: Any = None) -> bool:
    """Let the operation go on at its rate, and return whether it was paused until now.

    Where the job that was tried first did not complete, the others follow nevertheless.
    """
    values: dict[str, Any] = {"state": State.RUNNING, "reason": "", "note": "", "released_until": database.now()}
    if operation.reason == Operation.Reason.FIRST_FAILED:
        values["is_tried"] = True
    return _switch(operation, {State.PAUSED}, user, "Resumed.", **values)


def stop(operation: Operation, *, user: Any = None) -> bool:
    """End the operation, and return whether it was open until now. What was done stays done."""
    return _switch(operation, OPEN, user, "Stopped.", state=State.STOPPED, reason="", note="", ended_at=database.now())


def set_rate(operation: Operation, rate: int | None, *, user: Any = None) -> bool:
    """Let it go on at another rate (None: as fast as it goes), and return whether it was open.

    Raises InvalidOperation for a rate that cannot be.
    """
    Request(action=Action.CANCEL, filters=JobFilter(everything=True), rate=rate).check()
    text = "As fast as it goes." if rate is None else f"{rate} a minute."
    return _switch(operation, OPEN, user, text, per_minute=rate, released_until=database.now())


def _switch(operation: Operation, states: Any, user: Any, text: str, **values: Any) -> bool:
    rows = Operation.primary.filter(pk=operation.pk, state__in=sorted(states))
    is_done = rows.update(**values) > 0
    if is_done:
        audit.record(user, [operation], audit.Act.CHANGED, text)
    operation.refresh_from_db(using=database.alias())
    return is_done


def is_by_system(operation: Operation) -> bool:
    """Return whether server code started it."""
    return operation.user_id is None and operation.actor_kind == SYSTEM.kind


def forget_old() -> int:
    """Delete operations that ended longer ago than jobs are kept; return how many went."""
    since = database.now() - dt.timedelta(days=float(jobs_settings.RETENTION_DAYS))
    return Operation.primary.filter(ended_at__lt=since).delete()[0]
