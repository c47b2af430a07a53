"""Counts in classes that can be added up, and what can be read from them."""

from __future__ import annotations

import pytest

from django_jobs.engine.store import histograms


@pytest.mark.parametrize(
    ("seconds", "key"),
    [(1, "0"), (10, "10"), (0.1, "-10"), (2, "3"), (0.001, "-30"), (1e-9, "-30"), (0, "-30"), (-1, "-30"), (1e9, "70")],
)
def test_seconds_have_a_class(seconds: float, key: str) -> None:
    assert histograms.class_of(seconds) == key


def test_histograms_are_added_up() -> None:
    total = {"0": 1, "3": 2}
    histograms.merge(total, {"3": 1, "10": 5})
    assert total == {"0": 1, "3": 3, "10": 5}
    assert histograms.count(total) == 9


@pytest.mark.parametrize(
    ("share", "seconds"), [(0.0, 0.1), (0.5, 0.1), (0.51, 1.0), (0.9, 1.0), (0.95, 10.0), (1.0, 10.0)]
)
def test_a_percentile_is_the_class_of_its_rank(share: float, seconds: float) -> None:
    assert histograms.percentile({"10": 10, "-10": 50, "0": 40}, share) == seconds


def test_nothing_has_no_percentile() -> None:
    assert histograms.percentile({}, 0.5) is None


@pytest.mark.parametrize("seconds", [0.0013, 0.077, 0.99, 1.06, 1.12, 1.13, 5.6, 59.0, 3_000.0])
def test_a_percentile_is_at_most_an_eighth_off(seconds: float) -> None:
    found = histograms.percentile({histograms.class_of(seconds): 1}, 0.95)
    assert found == pytest.approx(seconds, rel=0.13)
