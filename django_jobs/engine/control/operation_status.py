"""What an operation does, as host code and API clients get it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django_jobs.engine.control.operations_under_way import same_as, under_way
from django_jobs.engine.insight.job_filter import JobFilter
from django_jobs.engine.insight.operation_speed import Speed, read_speeds
from django_jobs.exceptions import InvalidFilter
from django_jobs.models import Operation
from django_jobs.statuses import Priority
from django_jobs.values import OperationStatus


def describe_operations(found: Sequence[Operation], user: Any = None) -> list[OperationStatus]:
    """Return what these operations do, as their rows say, of what this user may see; None sees all."""
    has_open = any(item.is_open for item in found)
    opened, speeds = (under_way(user), read_speeds()) if has_open else ([], {})
    return [_describe(item, same_as(item, opened), speeds.get(item.action)) for item in found]


def seconds_left(operation: Operation, speed: Speed | None) -> float | None:
    """Return about how many seconds the operation will take at the speed of its action; None if it does not go on."""
    if operation.state != Operation.State.RUNNING or speed is None:
        return None
    return speed.seconds_for(max(0, operation.total - operation.changed - operation.refusals), operation.per_minute)


def _describe(item: Operation, same: Operation | None, speed: Speed | None) -> OperationStatus:
    return OperationStatus(
        id=item.pk,
        action=item.action,
        value=None if item.value is None else Priority(item.value).word,
        filters=_filters(item),
        state=item.state,
        reason=item.reason,
        note=item.note,
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


def _filters(item: Operation) -> dict[str, Any]:
    """Return the filter as it is given from outside; that of another release as it is stored."""
    try:
        return JobFilter.from_json(item.filters).as_given()
    except InvalidFilter:
        return item.filters
