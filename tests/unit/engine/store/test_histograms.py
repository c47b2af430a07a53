"""Counts in classes that can be added up, and what can be read from them."""

from __future__ import annotations

import pytest

from django_jobs.engine.store import values
from tests.support import verbs


def test_seconds_have_a_class(subtests: pytest.Subtests) -> None:
    cases: list[tuple[float, str]] = [
        (1, "0"),
        (10, "10"),
        (0.1, "-10"),
        (2, "3"),
        (0.001, "-30"),
        (1e-9, "-30"),
        (0, "-30"),
        (-1, "-30"),
        (1e9, "70"),
    ]
    for seconds, key in cases:
        with subtests.test(seconds=seconds, key=key):
            assert verbs.histogram_class(seconds) == key


def test_histograms_are_added_up() -> None:
    total = {"0": 1, "3": 2}
    values.merge_histograms(total, {"3": 1, "10": 5})
    assert total == {"0": 1, "3": 3, "10": 5}
    assert values.histogram_count(total) == 9


def test_a_percentile_is_the_class_of_its_rank(subtests: pytest.Subtests) -> None:
    cases: list[tuple[float, float]] = [(0.0, 0.1), (0.5, 0.1), (0.51, 1.0), (0.9, 1.0), (0.95, 10.0), (1.0, 10.0)]
    for share, seconds in cases:
        with subtests.test(share=share, seconds=seconds):
            assert values.percentile({"10": 10, "-10": 50, "0": 40}, share) == seconds


def test_half_of_three_is_two() -> None:
    assert values.percentile({"-10": 1, "0": 1, "10": 1}, 0.5) == 1.0


def test_nothing_has_no_percentile() -> None:
    assert values.percentile({}, 0.5) is None


def test_a_percentile_is_at_most_an_eighth_off(subtests: pytest.Subtests) -> None:
    for seconds in (0.0013, 0.077, 0.99, 1.06, 1.12, 1.13, 5.6, 59.0, 3_000.0):
        with subtests.test(seconds=seconds):
            found = values.percentile({verbs.histogram_class(seconds): 1}, 0.95)
            assert found == pytest.approx(seconds, rel=0.13)
