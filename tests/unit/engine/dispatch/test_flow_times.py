"""The note of when a pass may start more: the earliest moment, and whoever waits hears of an earlier one."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from django_jobs.engine.dispatch import flow_times
from tests.support.clocks import Clock
from tests.support.tuning import Tuning


@pytest.fixture
def clock(tuning: Tuning) -> Iterator[Clock]:
    clock = Clock()
    tuning.set(flow_times_clock=clock)
    yield clock
    flow_times.listen(None)
    flow_times.forget()


def test_the_earliest_moment_counts(clock: Clock) -> None:
    assert flow_times.seconds_until_next() == math.inf
    for seconds in (5.0, 2.0, 3.0):
        flow_times.note(seconds)
    clock.now += 1.5
    assert flow_times.seconds_until_next() == 0.5
    flow_times.forget()
    assert flow_times.seconds_until_next() == math.inf


def test_a_moment_that_is_over_is_now(clock: Clock) -> None:
    flow_times.note(-3.0)
    assert flow_times.seconds_until_next() == 0.0


def test_only_an_earlier_moment_wakes_who_waits(clock: Clock) -> None:
    woken: list[float] = []
    flow_times.listen(lambda: woken.append(flow_times.seconds_until_next()))
    for seconds in (5.0, 6.0, 2.0, 2.0):
        flow_times.note(seconds)
    assert woken == [5.0, 2.0]
