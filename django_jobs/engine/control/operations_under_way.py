"""Operations that are under way, and which of them does already what somebody asks for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from django_jobs.engine.access import get_policy
from django_jobs.engine.control.operation_requests import Request
from django_jobs.engine.control.operations import is_by_system, operations_seen_by
from django_jobs.engine.insight.filter_spelling import in_one_spelling
from django_jobs.models import Operation
from django_jobs.models.operation import OPEN

#: So many of the newest open operations are looked at.
LOOKED_AT: Final = 200


def under_way(user: Any) -> list[Operation]:
    """Return the open operations that this user may see, the latest first; None sees all."""
    rows = operations_seen_by(user).filter(state__in=sorted(OPEN)).select_related("user")
    return list(rows[:LOOKED_AT])


def same_under_way(request: Request, user: Any) -> Operation | None:
    """Return an open operation that does the same to the same jobs, however these are named, and that this user may
    see.
    """
    asked = (request.action, request.stored_value, in_one_spelling(request.filters.as_json()))
    return _same(under_way(user), asked, getattr(user, "pk", None))


def same_as(operation: Operation, among: Iterable[Operation]) -> Operation | None:
    """Return another one of these open operations that does the same to the same jobs; None for one that is over."""
    if not operation.is_open:
        return None
    others = (item for item in among if item.pk != operation.pk)
    return _same(others, _asked(operation), operation.user_id)


def _same(found: Iterable[Operation], asked: tuple[Any, ...], user_pk: Any) -> Operation | None:
    return next((item for item in found if _asked(item) == asked and _reaches_as_far(item, user_pk)), None)


def _asked(operation: Operation) -> tuple[Any, ...]:
    return operation.action, operation.value, in_one_spelling(operation.filters)


def _reaches_as_far(operation: Operation, user_pk: Any) -> bool:
    """Return whether the operation acts on all jobs that this user's would: a filter means the own organizations."""
    if is_by_system(operation):
        return True
    if operation.user is None:
        return False
    return operation.user_id == user_pk or get_policy().is_system_admin(operation.user)
