"""How long an operation takes is told by how the last ones went."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from django_jobs.models import Operation
from tests.support import verbs
from tests.support.verbs import JOB_ACTS


def ended(changed: int, seconds: float, action: str = "cancel", **fields: Any) -> Operation:
    """An operation that changed so many jobs in so many seconds."""
    now = timezone.now()
    values = {"state": "done", "started_at": now - dt.timedelta(seconds=seconds), "ended_at": now, **fields}
    return Operation.objects.create(
        action=action, filters={"all": True}, changed=changed, released_until=now, last_id=1, **values
    )


def test_without_any_each_action_has_its_usual_speed() -> None:
    assert verbs.read_operation_speeds() == {action: JOB_ACTS[action].usual_speed for action in Operation.Action.values}


def test_the_fastest_of_the_latest_is_what_is_expected_of_its_action_alone() -> None:
    ended(9_000, 1)
    for seconds in (10, 5, 3_600, 20, 30):
        ended(5_000, seconds)
    speeds = verbs.read_operation_speeds()
    assert speeds["cancel"] == pytest.approx(1_000)
    assert speeds["retry"] == JOB_ACTS["retry"].usual_speed


@pytest.mark.parametrize(
    "fields",
    [
        {"changed": 999},
        {"per_minute": 60_000},
        {"stop_above": 0.5},
        {"tries_one_first": True},
        {"state": "stopped"},
        {"state": "running", "ended_at": None},
    ],
    ids=str,
)
def test_what_was_short_or_held_back_tells_nothing(fields: dict[str, Any]) -> None:
    ended(**{"changed": 5_000, "seconds": 1, **fields})
    assert verbs.read_operation_speeds()["cancel"] == JOB_ACTS["cancel"].usual_speed


@pytest.mark.parametrize(("per_minute", "seconds"), [(None, 10), (600, 100), (60_000, 10)])
def test_a_rate_slows_it_down_and_speeds_nothing_up(per_minute: int | None, seconds: float) -> None:
    assert verbs.operation_seconds(1_000, 100, per_minute) == seconds
