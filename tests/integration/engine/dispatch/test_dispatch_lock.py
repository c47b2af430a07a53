"""When a dispatcher's lock counts as held by nobody who works."""

from __future__ import annotations

import pytest

from tests.support import verbs
from tests.support.clocks import Clock
from tests.support.tuning import Tuning


@pytest.fixture
def clock(tuning: Tuning) -> Clock:
    clock = Clock()
    tuning.set(dispatch_lock_clock=clock)
    verbs.take_dispatch_lock()  # no miss before it counts
    return clock


def misses(clock: Clock, count: int, pause: float) -> list[bool]:
    """What is said after each of so many misses in a row."""
    said = []
    for _ in range(count):
        said.append(verbs.is_dispatch_stuck())
        clock.now += pause
    return said


def test_two_misses_that_lie_far_apart_are_chance(clock: Clock) -> None:
    assert misses(clock, 2, pause=600) == [False, False]


@pytest.mark.parametrize("pause", [0.5, 1.05])
def test_a_lock_that_was_held_at_every_try_for_seconds_is_stuck(clock: Clock, pause: float) -> None:
    assert misses(clock, 10, pause)[-1]


def test_a_lock_that_is_had_again_is_not_stuck(clock: Clock) -> None:
    misses(clock, 10, pause=0.5)
    assert verbs.take_dispatch_lock() is not None
    assert not verbs.is_dispatch_stuck()
