"""The signal ``job_alert``: once when an alarm is raised, once when it is over."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from django_jobs.models import Alert, Schedule
from django_jobs.signals import job_alert
from tests.support.alerts import let_pass, make_alert, only
from tests.support.schedules import make_schedule
from tests.support.verbs import AlertEvaluator

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture(autouse=True)
def _faulty(settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, **only("schedule_cannot_fire")}
    make_schedule()
    Schedule.objects.update(fault="It is gone.")


@pytest.fixture
def listen() -> Iterator[Callable[[Callable[..., object]], None]]:
    """Connects receivers of alarms."""
    connected: list[Callable[..., object]] = []

    def connect(receiver: Callable[..., object]) -> None:
        connected.append(receiver)
        job_alert.connect(receiver, sender=Alert, weak=False)

    yield connect
    for receiver in connected:
        job_alert.disconnect(receiver, sender=Alert)


def live() -> None:
    """Let the alarm be raised, go on, and be over."""
    evaluator = AlertEvaluator()
    evaluator.evaluate()
    evaluator.evaluate()
    Schedule.objects.update(fault="")
    let_pass()
    evaluator.evaluate()
    evaluator.evaluate()


def test_it_is_sent_once_when_it_is_raised_and_once_when_it_is_over(
    listen: Callable[..., None],
) -> None:
    told: list[Any] = []
    listen(lambda sender, alert, text, **kwargs: told.append((sender, alert.rule, alert.is_open, text)))
    live()
    name = Schedule.objects.get().name
    assert [item[:3] for item in told] == [
        (Alert, "schedule_cannot_fire", True),
        (Alert, "schedule_cannot_fire", False),
    ]
    assert all(f": {name}. " in item[3] and re.search(r"\d\d:\d\d UTC", item[3]) for item in told)
    assert told[0][3].endswith("It is gone.")


def test_a_receiver_that_raises_keeps_no_alarm_from_being_raised_and_cleared(
    listen: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    listen(lambda **kwargs: 1 / 0)
    live()
    assert Alert.objects.get().cleared_at is not None
    assert f"event=receiver_failed alert={Alert.objects.get().pk}" in caplog.text


def test_an_alarm_of_a_rule_that_is_gone_keeps_no_other_from_being_told(listen: Callable[..., None]) -> None:
    told: list[str] = []
    listen(lambda alert, **kwargs: told.append(alert.rule))
    make_alert("rule_of_another_release", "", {})
    AlertEvaluator().evaluate()
    assert told == ["schedule_cannot_fire"]
