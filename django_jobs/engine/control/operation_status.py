"""What an operation does, as host code and API clients get it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django_jobs.engine.access import may_view, organizations_seen_by
from django_jobs.engine.control.operations_under_way import same_as, under_way
from django_jobs.engine.insight.filter_input import as_given, without_secrets
from django_jobs.engine.insight.job_filter import JobFilter
from django_jobs.engine.insight.operation_speed import Speed, read_speeds
from django_jobs.engine.job_types.masking import Names, hidden_from
from django_jobs.engine.store.organization_ids import current_ids
from django_jobs.exceptions import InvalidFilter
from django_jobs.models import Job, Operation
from django_jobs.statuses import Priority
from django_jobs.values import OperationStatus


def describe_operations(found: Sequence[Operation], user: Any = None) -> list[OperationStatus]:
    """Return what these operations do, as their rows say, of what this user may see; None sees all."""
    has_open = any(item.is_open for item in found)
    opened, speeds = (under_way(user), read_speeds()) if has_open else ([], {})
    filters = [_filter(item, hidden_from(user)) for item in found]
    notes = notes_seen_by(user, found)
    ids = ids_seen_by(user, {pk for item in filters if item is not None for pk in item.organizations or ()})
    told = [item.filters if asked is None else as_given(asked, ids) for item, asked in zip(found, filters, strict=True)]
    return [
        _describe(item, asked, notes[item.pk], same_as(item, opened), speeds.get(item.action))
        for item, asked in zip(found, told, strict=True)
    ]


def seconds_left(operation: Operation, speed: Speed | None) -> float | None:
    """Return about how many seconds the operation will take at the speed of its action; None if it does not go on."""
    if operation.state != Operation.State.RUNNING or speed is None:
        return None
    return speed.seconds_for(max(0, operation.total - operation.changed - operation.refusals), operation.per_minute)


def _describe(
    item: Operation, filters: dict[str, Any], note: str, same: Operation | None, speed: Speed | None
) -> OperationStatus:
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
        same_under_way=None if same is None else same.pk,
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
    seen = organizations_seen_by(user) if user is not None and pks else None
    return current_ids(pks if seen is None else set(seen.filter(pk__in=pks).values_list("pk", flat=True)))


def notes_seen_by(user: Any, found: Sequence[Operation]) -> dict[int, str]:
    """Return the note of each of these operations, by key, without the error of a job that this user may not see.

    Who started an operation may have left the organization since. System admins and server code (None) read all.
    """
    told = {item.pk: item.note for item in found}
    asked = {item.pk: item.first_job_id for item in found if item.reason == Operation.Reason.FIRST_FAILED}
    if user is None or not asked or organizations_seen_by(user) is None:
        return told
    jobs = Job.primary.visible_to(user).filter(pk__in=[pk for pk in asked.values() if pk is not None])
    seen = {job.pk for job in jobs if may_view(user, job)}
    return told | {pk: "" for pk, job_pk in asked.items() if job_pk not in seen}
