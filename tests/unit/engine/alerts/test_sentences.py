from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.utils.translation import override

from django_jobs.engine.alerts.seen_alerts import AlertSeen
from django_jobs.engine.alerts.sentences import moment_in_words, words_of

NOON = dt.datetime(2026, 5, 1, 12, 0, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("language", "words"), [("en", "12:00 UTC"), (None, "12:00 UTC"), ("ar", "\u206612:00 UTC\u2069")]
)
def test_a_time_keeps_its_zone_beside_it_in_both_directions(language: str | None, words: str) -> None:
    with override(language):
        assert moment_in_words(NOON, NOON) == words


def words(rule: str, facts: dict[str, Any], *, is_partial: bool = False) -> str:
    """What is said of an alarm of the subject "mails", which was raised at noon."""
    alert = AlertSeen(rule=rule, subject="mails", raised_at=NOON, seen_at=NOON, facts=facts, is_partial=is_partial)
    with override("en"):
        return words_of(alert, NOON).text


def test_a_breaker_is_said_to_recover_once_it_does() -> None:
    held = words("breaker_open", {"state": "Open", "failed": 7, "waiting": 2})
    assert held == "Held by its breaker since 12:00 UTC; its last 7 attempts failed. 2 jobs wait."
    recovering = words("breaker_open", {"state": "Recovering", "failed": 0, "waiting": 2})
    assert recovering == (
        "Held by its breaker since 12:00 UTC. A job got through now, so that more and more of them start. 2 jobs wait."
    )
    own = words("breaker_open", {"state": "Recovering"}, is_partial=True)
    assert own == "On hold since 12:00 UTC. A job got through now, so that more and more start."


def test_a_pool_is_not_said_to_be_without_workers_since_that_was_noticed() -> None:
    text = words("no_worker", {"waiting": 1, "has_more_waiting": False})
    assert text == "No live worker serves this pool, and 1 job waits. Noticed at 12:00 UTC."
