"""How certain it is that attempts fail, and which attempts are the newest."""

from __future__ import annotations

import datetime as dt

import pytest

from django_jobs.engine.alerts.rules import Attempts, is_beyond_chance, newest_of, sum_of

MOMENT = dt.datetime(2026, 1, 5, 3, tzinfo=dt.UTC)


def minutes(*counts: tuple[int, int]) -> list[Attempts]:
    """A minute for each pair of attempts and failures, the newest first."""
    return [Attempts(MOMENT - dt.timedelta(minutes=number), *pair) for number, pair in enumerate(counts)]


@pytest.mark.parametrize(
    ("ended", "failed", "is_sure"),
    [(5, 5, True), (3, 3, False), (5, 4, False), (8, 7, True), (20, 15, True), (100, 55, False), (100, 60, True)],
)
def test_the_fewer_the_attempts_the_more_of_them_must_fail(ended: int, failed: int, *, is_sure: bool) -> None:
    assert is_beyond_chance(ended, failed, 0.5) is is_sure


def test_the_newest_minutes_are_as_many_as_have_enough_attempts() -> None:
    found = minutes((2, 2), (0, 0), (4, 0), (100, 100))
    assert newest_of(found, 5) == found[:3]
    assert sum_of(found[:3]) == (6, 2)


def test_where_there_are_not_enough_all_minutes_are_the_newest() -> None:
    assert newest_of(minutes((2, 2), (1, 1)), 5) == minutes((2, 2), (1, 1))
