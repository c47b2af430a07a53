from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pytest
from django.utils.translation import override

from django_jobs.engine.alerts.telling import Words, moment_in_words, words_of
from django_jobs.models import Alert

NOON = dt.datetime(2026, 5, 1, 12, 0, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("language", "words"), [("en", "12:00 UTC"), (None, "12:00 UTC"), ("ar", "\u206612:00 UTC\u2069")]
)
def test_a_time_keeps_its_zone_beside_it_in_both_directions(language: str | None, words: str) -> None:
    with override(language):
        assert moment_in_words(NOON, NOON) == words


def words(rule: str, facts: dict[str, Any], *, is_partial: bool = False) -> Words:
    """What is said of an alarm of the subject "mails", which was raised at noon."""
    alert = Alert(rule=rule, subject="mails", raised_at=NOON, seen_at=NOON).with_facts(facts, is_partial=is_partial)
    with override("en"):
        return words_of(alert, NOON)


def test_a_breaker_is_said_to_recover_once_it_does() -> None:
    held = words("breaker_open", {"state": "Open", "failed": 7, "waiting": 2})
    recovering = words("breaker_open", {"state": "Recovering", "failed": 0, "waiting": 2})
    own = words("breaker_open", {"state": "Recovering"}, is_partial=True)
    numbers = [re.findall(r"\d+", said.text) for said in (held, recovering, own)]
    assert numbers == [["7", "2", "12", "00"], ["2", "12", "00"], ["12", "00"]]
    assert own.text != words("breaker_open", {"state": "Open"}, is_partial=True).text
    assert (bool(held.advice), own.advice) == (True, "")  # which is for system admins


@pytest.mark.parametrize("rule", ["no_worker", "breaker_open"])
def test_a_count_of_waiting_jobs_that_was_bounded_is_said_to_be_so(rule: str) -> None:
    bounded = words(rule, {"waiting": 10_000, "has_more_waiting": True})
    exact = words(rule, {"waiting": 10_000, "has_more": True})  # more organizations
    assert ["10,000+" in said.text for said in (bounded, exact)] == [True, False]
