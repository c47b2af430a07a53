"""An interruption does not pass the handler's own ``finally`` by, where a signal comes as its loop jumps back."""

from __future__ import annotations

import ctypes
import signal
from collections.abc import Iterator
from types import FrameType, SimpleNamespace
from typing import Any, Final

import pytest

from django_jobs.exceptions import JobCanceled
from django_jobs.worker import interruption
from tests.support.tuning import Tuning
from tests.support.verbs import INTERRUPTION_SIGNAL, Interrupter, MainThreadSignals


class Signaling(int):
    """Raises the signal of this number when it is asked, and says 0. Python looks for signals only later."""

    now = property(ctypes.CDLL(None)["raise"])


LOUD: Final = Signaling(INTERRUPTION_SIGNAL)
QUIET: Final = SimpleNamespace(now=0)
LAST: Final = SimpleNamespace(now=1)


def go_round(asked: list[Any], noted: list[str]) -> None:
    """A handler whose loop asks one after the other, and that gets a last signal behind the loop."""
    rounds: list[None] = []
    try:
        while not asked[len(rounds)].now:
            rounds.append(None)
        signal.raise_signal(INTERRUPTION_SIGNAL)
    finally:
        noted.append("cleaned up")


def go_round_without_work(noted: list[str]) -> None:
    """Python looks for signals nowhere else than where the loop jumps back."""
    try:
        while not LOUD.now:
            pass
    finally:
        noted.append("cleaned up")


@pytest.fixture(autouse=True)
def _receiver() -> Iterator[None]:
    before = signal.getsignal(INTERRUPTION_SIGNAL)
    yield
    signal.signal(INTERRUPTION_SIGNAL, before)


@pytest.fixture
def interrupter() -> Interrupter:
    interrupter = Interrupter(on_main_thread=True)
    MainThreadSignals().current = interrupter
    interrupter.want(JobCanceled)
    return interrupter


@pytest.mark.parametrize("asked", [[QUIET, LOUD, LAST], [LOUD, LAST], [QUIET, LAST]], ids=["jump", "call", "behind"])
def test_it_is_known_where_python_would_miss_an_exception(asked: list[Any]) -> None:
    seen: list[bool] = []

    def receive(number: int, frame: FrameType | None) -> None:
        assert frame is not None
        seen.append(interruption.is_at_blind_spot(frame))
        raise JobCanceled

    signal.signal(INTERRUPTION_SIGNAL, receive)
    noted: list[str] = []
    with pytest.raises(JobCanceled):
        go_round(asked, noted)
    assert seen[0] or noted == ["cleaned up"]


@pytest.mark.parametrize("asked", [[QUIET, LOUD, LAST], [LOUD, LAST], [QUIET, LAST]], ids=["jump", "call", "behind"])
def test_what_a_handler_does_at_its_end_is_done_wherever_the_signal_comes(
    interrupter: Interrupter, asked: list[Any]
) -> None:
    noted: list[str] = []
    with pytest.raises(JobCanceled), interrupter.interruptible():
        go_round(asked, noted)
    assert noted == ["cleaned up"]


def test_a_second_signal_while_the_first_is_received_is_judged_by_what_both_interrupt(interrupter: Interrupter) -> None:
    @interruption.receiver
    def receive(number: int, frame: FrameType | None) -> None:
        MainThreadSignals().current = interrupter  # from now on it receives
        signal.raise_signal(INTERRUPTION_SIGNAL)

    signal.signal(INTERRUPTION_SIGNAL, receive)
    noted: list[str] = []
    with pytest.raises(JobCanceled), interrupter.interruptible():
        go_round([QUIET, LOUD, LAST], noted)
    assert noted == ["cleaned up"]


def test_a_loop_that_is_at_no_other_place_is_stopped_all_the_same(interrupter: Interrupter, tuning: Tuning) -> None:
    tuning.set(interruption_put_off_seconds=0.05)
    with pytest.raises(JobCanceled), interrupter.interruptible():
        go_round_without_work([])


def test_the_relay_signals_again_at_once_where_one_was_put_off(
    interrupter: Interrupter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interruption, "is_at_blind_spot", lambda _: True)
    received: list[int] = []

    def receive(number: int, frame: FrameType | None) -> None:
        received.append(number)
        interrupter.on_signal(frame)

    signal.signal(INTERRUPTION_SIGNAL, receive)
    with interrupter.interruptible():
        for _ in range(3):
            interrupter.deliver()
    assert len(received) == 3
