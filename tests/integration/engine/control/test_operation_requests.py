"""What is asked for and cannot be: nothing is started, and each fault is told by its field."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from django_jobs.exceptions import InvalidOperation
from django_jobs.models import JobType, Operation
from tests.support import verbs
from tests.support.operations import dead
from tests.support.verbs import OPERATIONS_A_MINUTE, JobFilter, OperationRequest

pytestmark = pytest.mark.usefixtures("broker")


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"action": "explode"}, "action"),
        ({"filters": JobFilter()}, "filters"),
        ({"rate": 0}, "rate"),
        ({"rate": -1}, "rate"),
        ({"rate": OPERATIONS_A_MINUTE + 1}, "rate"),
        ({"rate": True}, "rate"),
        ({"stop_above": 1.5}, "stop_above"),
        ({"stop_above": -0.1}, "stop_above"),
        ({"stop_above": 0.5, "action": "cancel"}, "stop_above"),
        ({"try_first": True, "action": "delete"}, "try_first"),
        ({"action": "set_priority"}, "value"),
        ({"action": "set_priority", "value": "Huge"}, "value"),
        ({"value": "High"}, "value"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_by_field(terms: dict[str, Any], field: str, system_admin: User) -> None:
    request = OperationRequest(**{"action": "retry", "filters": JobFilter(all=True), **terms})
    with pytest.raises(InvalidOperation) as caught:
        verbs.start_operation(request, user=system_admin)
    assert list(caught.value.errors) == [field]


@pytest.mark.parametrize(
    "filters",
    [JobFilter(owner=""), JobFilter(all=False), JobFilter(job_type=("",))],
    ids=["text", "all", "types"],
)
@pytest.mark.parametrize("act", [verbs.estimate_operation, verbs.start_operation])
def test_a_filter_that_would_be_read_otherwise_than_it_is_stored_is_refused(
    filters: JobFilter, act: Any, kind: JobType, system_admin: User
) -> None:
    dead(kind, 1)
    with pytest.raises(InvalidOperation) as caught:
        act(OperationRequest(action="delete", filters=filters), user=system_admin)
    assert list(caught.value.errors) == ["filters"]
    assert not Operation.objects.exists()
