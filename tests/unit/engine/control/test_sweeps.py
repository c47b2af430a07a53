"""Duties in threads of their own: only of a leader, and sweeps at half speed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from tests.support.tuning import Tuning
from tests.support.verbs import DutyThread, Interpose, Sweeps

Start = Callable[..., DutyThread]


@pytest.fixture(autouse=True)
def no_database(interpose: Interpose) -> None:
    interpose("drop_connections", lambda: None)
    interpose("mend_connections", lambda: None)


@pytest.fixture
def start() -> Iterator[Start]:
    begun: list[DutyThread] = []

    def start(step: Callable[[], int], leads: Callable[[], bool] = lambda: True) -> DutyThread:
        thread = DutyThread("sweep", lambda: (step(), 0.01), leads, lambda _, turn: turn())
        thread.start()
        begun.append(thread)
        return thread

    yield start
    for thread in begun:
        thread.stop()


def test_who_does_not_lead_sweeps_nothing(start: Start) -> None:
    asked = threading.Event()
    swept = threading.Event()

    def leads() -> bool:
        asked.set()
        return False

    def sweep() -> int:
        swept.set()
        return 1

    thread = start(sweep, leads)
    assert asked.wait(60)
    thread.stop()
    thread.join(60)
    assert not swept.is_set()


@pytest.mark.parametrize(("count", "rest"), [(5, 0.3), (0, 1.0)])
def test_it_rests_for_as_long_as_it_swept_or_until_the_next_tick(
    count: int, rest: float, interpose: Interpose, tuning: Tuning
) -> None:
    moments = iter([10.0, 10.3])
    tuning.set(retention_clock=SimpleNamespace(monotonic=lambda: next(moments)))
    interpose("forget_expired_keys", lambda _seconds: count)
    swept, seconds = Sweeps().turn("forget_duplicates")
    assert (swept, round(seconds, 3)) == (count, rest)
