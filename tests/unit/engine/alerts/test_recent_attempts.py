"""How certain it is that attempts fail, and which attempts are the newest."""

from __future__ import annotations

import datetime as dt

import pytest

from django_jobs.engine.alerts.rules import AttemptCounts as Step
from django_jobs.engine.alerts.rules import Attempts, begin_of_streak, newest_of, total_of

MOMENT = dt.datetime(2026, 1, 5, 3, tzinfo=dt.UTC)


def steps(*counts: tuple[int, int]) -> list[Step]:
    """A step for each pair of attempts and failures, the newest first."""
    return [Step(MOMENT - dt.timedelta(minutes=number), Attempts(*pair)) for number, pair in enumerate(counts)]


@pytest.mark.parametrize(
    ("ended", "failed", "is_sure"),
    [(5, 5, True), (3, 3, False), (5, 4, False), (8, 7, True), (20, 15, True), (100, 55, False), (100, 60, True)],
)
def test_the_fewer_the_attempts_the_more_of_them_must_fail(ended: int, failed: int, *, is_sure: bool) -> None:
    assert (Attempts(ended, failed).sure_share >= 0.5) is is_sure


def test_without_attempts_nothing_failed() -> None:
    assert (Attempts().share, Attempts().sure_share) == (0.0, 0.0)


def test_the_newest_steps_are_as_many_as_have_enough_attempts() -> None:
    found = steps((2, 2), (0, 0), (4, 0), (100, 100))
    assert newest_of(found, 5) == found[:3]
    assert total_of(found[:3]) == Attempts(6, 2)


def test_where_there_are_not_enough_all_steps_are_the_newest() -> None:
    assert newest_of(steps((2, 2), (1, 1)), 5) == steps((2, 2), (1, 1))


@pytest.mark.parametrize(
    ("counts", "began"),
    [
        ([(2, 2), (2, 2), (50, 0)], 1),
        ([(1, 0), (2, 2), (2, 2)], 2),  # one that completed just now
        ([(5, 5), (1, 0), (5, 5), (50, 0)], 2),  # a better minute between
        ([(5, 5), (100, 0), (500, 500)], 0),  # another outage, which was over
        ([(3, 0)], None),
    ],
)
def test_a_streak_began_in_the_minute_from_which_the_most_attempts_failed(
    counts: list[tuple[int, int]], began: int | None
) -> None:
    expected = None if began is None else steps(*counts)[began].starts_at
    assert begin_of_streak(steps(*counts), 0.5) == expected
