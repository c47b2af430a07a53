"""Operations on all jobs that a filter names: what is asked, who may, how far it is, and starting one."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import QuerySet
from django.utils import translation
from django.utils.translation import gettext as _

from django_jobs.conf import jobs_settings
from django_jobs.engine.access import get_policy
from django_jobs.engine.actors import SYSTEM, actor_for
from django_jobs.engine.control import audit
from django_jobs.engine.control.acts import JOB_ACTS, Action, ActRights, members
from django_jobs.engine.insight.filter import JobFilter, as_given, without_secrets
from django_jobs.engine.insight.search import Newest, count_in_time, walked_in_time
from django_jobs.engine.job_types.masking import Names, hidden_from, sensitive_names
from django_jobs.engine.organizations import current_ids, read_tenants
from django_jobs.engine.scope import Scope
from django_jobs.engine.store import database
from django_jobs.exceptions import InvalidFilter, InvalidOperation, OperationOver, PermissionDenied
from django_jobs.models import Job, Operation
from django_jobs.models.operation import OPEN
from django_jobs.statuses import Priority
from django_jobs.texts import say
from django_jobs.values import OperationStatus

#: The highest rate. Without a rate an operation goes as fast as it can.
MAX_PER_MINUTE: Final = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationRequest:
    """What somebody asks for; ``rate`` is in jobs a minute."""

    action: str
    filters: JobFilter
    value: int | str | None = None
    rate: int | None = None
    stop_above: float | None = None
    try_first: bool = False

    def check(self) -> None:
        """Raise InvalidOperation with what is wrong by field."""
        errors = {name: [text] for name, is_good, text in self._judged() if not is_good}
        if errors:
            raise InvalidOperation(errors)

    def _judged(self) -> Iterator[tuple[str, bool, str]]:
        """Yield each field, whether its value is good, and what is wrong with it where it is not."""
        rate: Any = self.rate
        share: Any = self.stop_above
        act = JOB_ACTS.get(self.action)
        runs = act is not None and act.runs
        text = say(_("Use one of %(choices)s."), code="invalid_choice", choices=", ".join(Action.values))
        yield "action", self.action in Action.values, text
        text = say(_('Name the jobs by a filter; to act on all jobs, say {"all": true}.'), code="names_all")
        yield "filters", not self.filters.is_empty and self.filters.is_storable, text
        if act is not None and act.takes_priority:
            text = say(_("Use one of %(choices)s."), code="invalid_choice", choices=", ".join(Priority.words()))
            yield "value", self.priority is not None, text
        else:
            text = say(_("Only a change of priority takes a value."), code="takes_no_value")
            yield "value", self.value is None, text
        numbers = _("Give a number of jobs a minute from 1 to %(most)s, or null for as fast as it goes.")
        is_whole = isinstance(rate, int) and not isinstance(rate, bool)
        is_rate = rate is None or (is_whole and 1 <= rate <= MAX_PER_MINUTE)
        yield "rate", is_rate, say(numbers, code="out_of_range", most=MAX_PER_MINUTE)
        text = say(_("Failures are counted of jobs that are retried or run now."), code="jobs_do_not_run")
        yield "stop_above", share is None or runs, text
        if runs:
            is_share = isinstance(share, int | float) and not isinstance(share, bool) and 0 <= share <= 1
            text = say(_("Give a share from 0 to 1, such as 0.2, or null."), code="out_of_range")
            yield "stop_above", share is None or is_share, text
        text = say(_("One can be tried first of jobs that are retried or run now."), code="jobs_do_not_run")
        yield "try_first", not self.try_first or runs, text

    @property
    def priority(self) -> Priority | None:
        """Return the priority that the value names; None where it names none."""
        try:
            return None if self.value is None else Priority.parse(self.value)
        except ValueError:
            return None

    @property
    def stored_value(self) -> int | None:
        """Return the value as it is stored."""
        return None if self.priority is None else int(self.priority)

    def members(self, user: Any) -> Newest:
        """Return the jobs that it would change now, of those that the user may see.

        Where no index finds them, of the newest jobs alone: whoever asks waits for the answer.
        """
        newest = self.filters.listed(user)
        return Newest(members(newest.rows, self.action, self.stored_value), newest.is_bounded)

    def count(self, user: Any) -> tuple[int, bool]:
        """Return how many jobs it would change now, however old, and whether there may be more than were counted."""
        rows = members(self.filters.queryset(user), self.action, self.stored_value)
        return count_in_time(rows, is_walked=self.filters.is_walked)


# Operations that are under way.


#: So many of the newest open operations are looked at.
LOOKED_AT: Final = 200


def under_way(user: Any) -> list[Operation]:
    """Return the open operations that this user may see, the latest first; None sees all."""
    rows = Scope(user).operations().filter(state__in=sorted(OPEN)).select_related("user")
    return list(rows[:LOOKED_AT])


# How fast operations go: as the last ones of the same action did, or as is usual where none tells.


#: An operation that changed fewer jobs tells more of when the scheduler looked than of how fast it goes.
LEAST: Final = 1_000
LATEST: Final = 5


def seconds_for(jobs: int, speed: float, per_minute: int | None) -> float:
    """Return about how many seconds so many jobs take at a speed, and at a rate in jobs a minute where there is one."""
    return round(jobs / (speed if per_minute is None else min(speed, per_minute / 60)), 3)


def read_speeds() -> dict[str, float]:
    """Return the speed of each action in jobs a second, where nothing slows it down, read by one statement.

    It is that of the fastest of the latest operations. Others may have been paused, had a rate for a while, or shared
    the time with a neighbor.
    """
    rows = Operation.primary.filter(
        state=Operation.State.DONE,
        per_minute__isnull=True,
        stop_above__isnull=True,
        tries_one_first=False,
        changed__gte=LEAST,
    )
    speeds: defaultdict[str, list[float]] = defaultdict(list)
    for action, changed, begun, ended in rows.order_by("-pk").values_list(
        "action", "changed", "started_at", "ended_at"
    )[:LOOKED_AT]:
        seconds = (ended - begun).total_seconds() if ended is not None else 0.0
        if seconds > 0 and len(speeds[action]) < LATEST:
            speeds[action].append(changed / seconds)
    return {str(action): max(speeds[action], default=JOB_ACTS[action].usual_speed) for action in Action}


# What an operation does, as host code and API clients get it.


def describe_operations(operations: Sequence[Operation], user: Any = None) -> list[OperationStatus]:
    """Return what these operations do, as their rows say, of what this user may see; None sees all."""
    speeds = read_speeds() if any(item.is_open for item in operations) else {}
    filters = [_filter(item, hidden_from(user)) for item in operations]
    notes = notes_seen_by(user, operations)
    ids = ids_seen_by(user, {pk for item in filters if item is not None for pk in item.organization or ()})
    filters_by_id = [
        item.filters if filter_of_item is None else as_given(filter_of_item, ids)
        for item, filter_of_item in zip(operations, filters, strict=True)
    ]
    return [
        _describe(item, filter_of_item, notes[item.pk], speeds.get(item.action))
        for item, filter_of_item in zip(operations, filters_by_id, strict=True)
    ]


def seconds_left(operation: Operation, speed: float | None) -> float | None:
    """Return about how many seconds the operation will take at the speed of its action; None if it does not go on."""
    if operation.state != Operation.State.RUNNING or speed is None:
        return None
    left = max(0, operation.total - operation.changed - operation.refusals)
    return seconds_for(left, speed, operation.per_minute)


def _describe(item: Operation, filters: dict[str, Any], note: str, speed: float | None) -> OperationStatus:
    return OperationStatus(
        id=item.pk,
        action=item.action,
        value=None if item.value is None else Priority(item.value).word,
        filters=filters,
        state=item.state,
        reason=item.reason,
        note=note,
        user=item.user_name,
        rate=item.per_minute,
        stop_above=item.stop_above,
        try_first=item.tries_one_first,
        count=item.total,
        count_capped=item.has_more,
        changed=item.changed,
        asked_to_stop=item.asked,
        refused=item.refused,
        outcome=item.outcome,
        outcome_is_exact=sum(item.outcome.values()) >= item.changed,
        eta_seconds=seconds_left(item, speed),
        started_at=item.started_at,
        ended_at=item.ended_at,
    )


def _filter(item: Operation, names: Names) -> JobFilter | None:
    """Return the filter of an operation with what lies under these keys masked; None for that of another release."""
    try:
        return without_secrets(JobFilter.from_json(item.filters), names)
    except InvalidFilter:
        return None


def ids_seen_by(user: Any, pks: set[Any]) -> dict[Any, str]:
    """Return the ids that these organizations have now, of those that the user may know of."""
    scope = Scope(user)
    if pks and not scope.is_system_admin:
        pks = set(scope.tenants.filter(pk__in=pks).values_list("pk", flat=True))
    return current_ids(pks)


def notes_seen_by(user: Any, operations: Sequence[Operation]) -> dict[int, str]:
    """Return the note of each of these operations, by key, without the error of a job that this user may not see.

    Who started an operation may have left the organization since. System admins and server code (None) read all.
    """
    notes = {item.pk: item.note for item in operations}
    first_jobs = {item.pk: item.first_job_id for item in operations if item.reason == Operation.Reason.FIRST_FAILED}
    scope = Scope(user)
    if not first_jobs or scope.is_system_admin:
        return notes
    jobs = scope.jobs().filter(pk__in=[pk for pk in first_jobs.values() if pk is not None])
    seen = {job.pk for job in jobs if scope.shows(job)}
    return notes | {pk: "" for pk, job_pk in first_jobs.items() if job_pk not in seen}


# Acting on all jobs that a filter names: retry, cancel, delete, change of priority, run now.
#
# An operation outlives the browser and the process that started it. The leading scheduler works it off
# (``operation_work``): it walks the matching jobs once, from the oldest to the one that was the newest when the
# operation started, as fast as it goes or at a rate. A job that does not match any more when the walk comes to it stays
# as it is.


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


def estimate(request: OperationRequest, *, user: Any = None) -> Estimate:
    """Return how many jobs the operation would act on, and how long it would take; nothing is stored.

    Raises what :func:`start_operation` raises.
    """
    request.check()
    with walked_in_time("filters", is_walked=request.filters.is_walked):
        _permitted(request, user)
        count, is_capped = request.count(user)
    seconds = seconds_for(count, read_speeds()[request.action], request.rate)
    return Estimate(count=count, count_capped=is_capped, eta_seconds=seconds)


def start_operation(request: OperationRequest, *, user: Any = None) -> Operation:
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


def _permitted(request: OperationRequest, user: Any) -> QuerySet[Job]:
    """Return the jobs that it would change, as far as they are looked at before it starts.

    The user must be allowed to do it to one of the newest of them.
    """
    found = request.members(user)
    rights = ActRights(request.action, user)
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


def pause(operation: Operation, *, user: Any = None) -> bool:
    """Pause the operation, and return whether it ran until now. Raises OperationOver where it has come to its end."""
    return _switch(operation, {State.RUNNING}, user, "Paused.", state=State.PAUSED, reason="", note="")


def resume(operation: Operation, *, user: Any = None) -> bool:
    """Let the operation go on at its rate, and return whether it was paused until now.

    Where the job that was tried first did not complete, the others follow nevertheless. Raises OperationOver.
    """
    values: dict[str, Any] = {"state": State.RUNNING, "reason": "", "note": "", "released_until": database.now()}
    if operation.reason == Operation.Reason.FIRST_FAILED:
        values["is_tried"] = True
    return _switch(operation, {State.PAUSED}, user, "Resumed.", **values)


def stop(operation: Operation, *, user: Any = None) -> bool:
    """End the operation, and return whether it was open until now. What was done stays done. Raises OperationOver."""
    return _switch(operation, OPEN, user, "Stopped.", state=State.STOPPED, reason="", note="", ended_at=database.now())


def set_rate(operation: Operation, rate: int | None, *, user: Any = None) -> bool:
    """Let it go on at another rate (None: as fast as it goes), and return True.

    Raises InvalidOperation for a rate that cannot be, and OperationOver.
    """
    OperationRequest(action=Action.CANCEL, filters=JobFilter(all=True), rate=rate).check()
    text = "As fast as it goes." if rate is None else f"{rate} a minute."
    return _switch(operation, OPEN, user, text, per_minute=rate, released_until=database.now())


def _switch(operation: Operation, states: Any, user: Any, text: str, **values: Any) -> bool:
    rows = Operation.primary.filter(pk=operation.pk, state__in=sorted(states))
    is_done = rows.update(**values) > 0
    if is_done:
        audit.record(user, [operation], audit.Act.CHANGED, text)
    operation.refresh_from_db(using=database.alias())
    if not (is_done or operation.is_open or operation.state == values.get("state")):
        text = _("The operation is over: it is “%(state)s”.")
        raise OperationOver(say(text, code="over", state=operation.state))
    return is_done


def is_by_system(operation: Operation) -> bool:
    """Return whether server code started it."""
    return operation.user_id is None and operation.actor_kind == SYSTEM.kind


def forget_old() -> int:
    """Delete operations that ended longer ago than jobs are kept; return how many went."""
    since = database.now() - dt.timedelta(days=float(jobs_settings.RETENTION_DAYS))
    return Operation.primary.filter(ended_at__lt=since).delete()[0]
