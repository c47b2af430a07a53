"""The system check of ALERTS, both ways."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.checks import checked


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"no_worker": None, "breaker_open": False, "no_scheduler": {}},
        {"type_failing": {"share": 1, "attempts": 1, "seconds": 86_400}},
        {"dead_letters": {"count": 1}, "queue_waiting": {"seconds": 10}},
        {"mail": True},
        {"mail": False},
        {"mail": {"base_url": "https://shop.example"}},
    ],
)
def test_rules_and_thresholds_that_make_sense_are_fine(settings: Any, value: Any) -> None:
    settings.DJANGO_JOBS = {"ALERTS": value}
    assert checked("E025") == []


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "must be a dict of rules"),
        (["no_worker"], "must be a dict of rules"),
        ({"no_workers": {}}, "unknown rule 'no_workers'. There are no_scheduler, "),
        ({7: {}}, "unknown rule 7"),
        ({"no_worker": True}, "must be a dict of thresholds, or None"),
        ({"no_worker": 60}, "must be a dict of thresholds, or None"),
        ({"no_worker": {"minutes": 1}}, "unknown threshold 'minutes' of 'no_worker'. There are seconds"),
        ({"breaker_open": {"seconds": 1}}, "There are none"),
        ({"no_worker": {"seconds": 0}}, "must be a whole number from 10"),
        ({"no_worker": {"seconds": -60}}, "must be a whole number from 10"),
        ({"no_worker": {"seconds": "60"}}, "must be a whole number from 10"),
        ({"no_worker": {"seconds": True}}, "must be a whole number from 10"),
        ({"no_worker": {"seconds": 60.5}}, "must be a whole number from 10"),
        ({"type_failing": {"share": 50}}, "must be a number from 0.01 to 1"),
        ({"type_failing": {"share": 0}}, "must be a number from 0.01 to 1"),
        ({"type_failing": {"share": float("nan")}}, "must be a number from 0.01 to 1"),
        ({"dead_letters": {"count": None}}, "must be a whole number from 1 to 1,000,000"),
        ({"mail": "ops@shop.example"}, "has 'ops@shop.example' for 'mail', which must be True, False, or "),
        ({"mail": {"to": []}}, "which must be True, False, or "),
        ({"mail": {"base_url": "shop.example"}}, "must begin with https:// or http://"),
    ],
)
def test_what_makes_no_sense_is_told(settings: Any, value: Any, words: str) -> None:
    settings.DJANGO_JOBS = {"ALERTS": value}
    (message,) = checked("E025")
    assert message.id == "django_jobs.E025"
    assert words in message.msg
