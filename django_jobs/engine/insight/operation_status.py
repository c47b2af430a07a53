"""What an operation does, as host code and API clients get it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django_jobs.engine.insight.job_filter import JobFilter
from django_jobs.exceptions import InvalidFilter
from django_jobs.models import Operation
from django_jobs.statuses import Priority
from django_jobs.values import OperationStatus

#: Jobs a second that an operation without a rate gets done, about; what is told before one starts is a guess.
USUAL_PER_SECOND: Final = 1_000


def describe_operations(found: Sequence[Operation]) -> list[OperationStatus]:
    """Return what these operations do, as their rows say."""
    return [_describe(item) for item in found]


def seconds_for(jobs: int, per_minute: int | None) -> float:
    """Return about how many seconds it takes to act on so many jobs at a rate; None: as fast as it goes."""
    return jobs / (USUAL_PER_SECOND if per_minute is None else per_minute / 60)


def seconds_left(operation: Operation) -> float | None:
    """Return about how many seconds the operation will take; None where it does not go on."""
    if operation.state != Operation.State.RUNNING:
        return None
    return seconds_for(max(0, operation.total - operation.changed - operation.refusals), operation.per_minute)


def _describe(item: Operation) -> OperationStatus:
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
        eta_seconds=seconds_left(item),
        started_at=item.started_at,
        ended_at=item.ended_at,
    )


def _filters(item: Operation) -> dict[str, Any]:
    """Return the filter as it is given from outside; that of another release as it is stored."""
    try:
        return JobFilter.from_json(item.filters).as_given()
    except InvalidFilter:
        return item.filters
