"""What ``jobs_status`` shows of alarms."""

from __future__ import annotations

import pytest

from tests.support.alerts import make_alert, scheduler_ticks
from tests.support.commands import call, run
from tests.support.verbs import MAX_ALARMS

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture(autouse=True)
def _a_scheduler_leads() -> None:
    scheduler_ticks()


def test_open_alarms_are_shown_in_sentences() -> None:
    make_alert("type_failing", "send_mail", {"failed": 863, "attempts": 863, "exception": "InvalidMailer: down"})
    shown = run("jobs_status")
    assert [shown.count(part) for part in ("type_failing", "send_mail", "InvalidMailer: down")] == [1, 1, 1]
    (told,) = call("jobs_status", "--json").facts["alarms"]
    assert (told["rule"], told["subject"], told["text"] in shown) == ("type_failing", "send_mail", True)


def test_where_nothing_is_wrong_nothing_is_shown() -> None:
    make_alert("type_failing", "send_mail", cleared_ago=60)
    assert "send_mail" not in run("jobs_status")
    assert call("jobs_status", "--json").facts["alarms"] == []


def test_a_silent_scheduler_is_an_alarm() -> None:
    scheduler_ticks(seconds_ago=600)
    assert "no_scheduler" in run("jobs_status")


def test_of_many_the_first_are_shown() -> None:
    for number in range(MAX_ALARMS + 2):
        make_alert("type_failing", f"type_{number}", {"failed": 5, "attempts": 5})
    assert run("jobs_status").count("type_failing") == MAX_ALARMS
