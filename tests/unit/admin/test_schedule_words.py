"""A schedule's rule, in the language of who reads it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import translation

from django_jobs.admin.schedules import rule_words


def rule(cron: str = "", every: int | None = None) -> Any:
    return SimpleNamespace(cron=cron, every=every)


def test_a_cron_expression_is_told_in_the_readers_language() -> None:
    with translation.override("de"):
        assert rule_words(rule("0 2 * * MON-FRI")) == "Um 02:00, Montag bis Freitag"
    assert rule_words(rule("0 2 * * MON-FRI")) == "At 02:00, Monday to Friday"


def test_it_stays_as_it_is_where_nobody_has_words_for_it() -> None:
    with translation.override("ar"):
        assert rule_words(rule("0 2 * * MON-FRI")) == "0 2 * * MON-FRI"


@pytest.mark.parametrize(("seconds", "words"), [(60, "1 min"), (300, "5 min"), (604_800, "7 d")])
def test_an_interval_is_told_as_a_duration(seconds: int, words: str) -> None:
    assert words in rule_words(rule(every=seconds))
