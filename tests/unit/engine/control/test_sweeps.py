"""Sweeps in threads of their own: only of a leader, at half speed, and none of them holds up another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.tuning import Tuning
from tests.support.verbs import Interpose, SweepThreads
from tests.support.waiting import wait_until

Start = Callable[..., SweepThreads]


@pytest.fixture(autouse=True)
def no_database(interpose: Interpose) -> None:
    interpose("drop_connections", lambda: None)
    interpose("mend_connections", lambda: None)


@pytest.fixture
def start(tuning: Tuning) -> Iterator[Start]:
    begun: list[SweepThreads] = []
    tuning.set(sweep_join_seconds=0.01)

    def start(leads: Callable[[], bool] = lambda: True, **steps: Callable[[], int]) -> SweepThreads:
        threads = SweepThreads(steps, leads, lambda _, step: step(), lambda _: 1.0)
        threads.start()
        begun.append(threads)
        return threads

    yield start
    for threads in begun:
        threads.stop()


def test_one_that_hangs_holds_up_neither_the_others_nor_the_end(start: Start) -> None:
    is_free = threading.Event()
    swept: list[int] = []

    def sweep() -> int:
        swept.append(1)
        return 1

    threads = start(delete_files=lambda: int(is_free.wait(60)), prune=sweep)
    wait_until(lambda: len(swept) > 3, 60, "the other sweep")
    threads.stop()
    is_free.set()


def test_who_does_not_lead_sweeps_nothing(start: Start) -> None:
    asked = threading.Event()
    swept = threading.Event()

    def leads() -> bool:
        asked.set()
        return False

    def sweep() -> int:
        swept.set()
        return 1

    start(leads, prune=sweep).stop()
    assert asked.wait(60)
    assert not swept.is_set()


def test_it_rests_for_that_part_of_the_time_for_which_it_swept(tuning: Tuning) -> None:
    moments = iter([10.0, 10.3])
    tuning.set(sweep_clock=SimpleNamespace(monotonic=lambda: next(moments)))
    threads: Any = SweepThreads({}, lambda: True, lambda _, step: step(), lambda _: 0.5)
    assert threads._turn("prune", lambda: 5) == pytest.approx(0.15)


def test_where_nothing_is_left_it_looks_again_in_the_scheduler_s_rhythm() -> None:
    threads: Any = SweepThreads({}, lambda: True, lambda _, step: step(), lambda _: 0.5)
    assert threads._turn("prune", lambda: 0) == 1.0
