"""A schedule's rule, in the language of who reads it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import translation

from django_jobs.admin.schedules import INTERVALS, rule_words


def rule(cron: str = "", every: int | None = None) -> Any:
    return SimpleNamespace(cron=cron, every=every)


def test_a_cron_expression_is_told_in_the_readers_language() -> None:
    with translation.override("de"):
        assert rule_words(rule("0 2 * * MON-FRI")) == "Um 02:00, Montag bis Freitag"
    assert rule_words(rule("0 2 * * MON-FRI")) == "At 02:00, Monday to Friday"


def test_it_stays_as_it_is_where_nobody_has_words_for_it() -> None:
    with translation.override("ar"):
        assert rule_words(rule("0 2 * * MON-FRI")) == "0 2 * * MON-FRI"


def test_intervals_are_told_with_the_largest_unit_that_fits(subtests: pytest.Subtests) -> None:
    words = {size: (once, often) for size, once, often in INTERVALS}
    for seconds, size, count in ((60, 60, 1), (300, 60, 5), (90, 1, 90), (604_800, 604_800, 1)):
        with subtests.test(seconds=seconds):
            once, often = words[size]
            assert rule_words(rule(every=seconds)) == str(once if count == 1 else often % {"count": count})
