"""What ``jobs_status`` shows of alarms."""

from __future__ import annotations

import pytest

from django_jobs.management.alarms import MAX_ALARMS
from tests.support.alerts import make_alert, scheduler_ticks
from tests.support.commands import run

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture(autouse=True)
def _a_scheduler_leads() -> None:
    scheduler_ticks()


def test_open_alarms_are_shown_in_sentences() -> None:
    make_alert("type_failing", "send_mail", {"failed": 863, "attempts": 863, "exception": "InvalidMailer: down"})
    shown = run("jobs_status")
    assert "Alarms       1" in shown
    assert "send_mail: 863 of 863 attempts failed since " in shown
    assert " UTC. InvalidMailer: down." in shown


def test_where_nothing_is_wrong_nothing_is_shown() -> None:
    make_alert("type_failing", "send_mail", cleared_ago=60)
    assert "Alarms" not in run("jobs_status")


def test_a_silent_scheduler_is_an_alarm() -> None:
    scheduler_ticks(seconds_ago=600)
    assert "no_scheduler" in run("jobs_status")


def test_of_many_the_first_are_shown() -> None:
    for number in range(MAX_ALARMS + 2):
        make_alert("type_failing", f"type_{number}", {"failed": 5, "attempts": 5})
    assert "and 2 more" in run("jobs_status")
