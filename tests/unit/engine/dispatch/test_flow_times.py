"""The note of when a pass may start more: the earliest moment, and whoever waits hears of an earlier one."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from django_jobs.engine.dispatch import rates
from tests.support import verbs
from tests.support.clocks import Clock
from tests.support.tuning import Tuning


@pytest.fixture
def clock(tuning: Tuning) -> Iterator[Clock]:
    clock = Clock()
    tuning.set(flow_times_clock=clock)
    yield clock
    rates.listen_for_starts(None)
    rates.forget_start_times()


def test_the_earliest_moment_counts(clock: Clock) -> None:
    assert verbs.seconds_until_next_flow() == math.inf
    for seconds in (5.0, 2.0, 3.0):
        verbs.note_flow_time(seconds)
    clock.now += 1.5
    assert verbs.seconds_until_next_flow() == 0.5
    rates.forget_start_times()
    assert verbs.seconds_until_next_flow() == math.inf


def test_a_moment_that_is_over_is_now(clock: Clock) -> None:
    verbs.note_flow_time(-3.0)
    assert verbs.seconds_until_next_flow() == 0.0


def test_only_an_earlier_moment_wakes_who_waits(clock: Clock) -> None:
    woken: list[float] = []
    rates.listen_for_starts(lambda: woken.append(verbs.seconds_until_next_flow()))
    for seconds in (5.0, 6.0, 2.0, 2.0):
        verbs.note_flow_time(seconds)
    assert woken == [5.0, 2.0]
