from __future__ import annotations

import datetime as dt

import pytest
from django.utils.translation import override

from django_jobs.engine.alerts.sentences import moment_in_words

NOON = dt.datetime(2026, 5, 1, 12, 0, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("language", "words"), [("en", "12:00 UTC"), (None, "12:00 UTC"), ("ar", "\u206612:00 UTC\u2069")]
)
def test_a_time_keeps_its_zone_beside_it_in_both_directions(language: str | None, words: str) -> None:
    with override(language):
        assert moment_in_words(NOON, NOON) == words
