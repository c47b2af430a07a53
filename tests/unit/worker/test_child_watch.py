"""What a supervisor concludes from a child's board."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from tests.support.tuning import Tuning
from tests.support.verbs import ChildWatch, LoopStep, SharedSlots


class Watched:
    """A child and its supervisor, on a clock of their own."""

    def __init__(self, tuning: Tuning) -> None:
        self.now = 100.0
        clock = SimpleNamespace(monotonic=lambda: self.now)
        tuning.set(child_watch_clock=clock, shared_slots_clock=clock)
        self.slots = SharedSlots.create(2)
        self.watch = ChildWatch(self.slots)

    def pass_time(self, seconds: float, *, pulsing: bool = False) -> None:
        for _ in range(round(seconds / 0.05)):
            self.now += 0.05
            if pulsing:
                self.slots.board.pulse()
            self.watch.look()


@pytest.fixture
def child(tuning: Tuning) -> Iterator[Watched]:
    child = Watched(tuning)
    yield child
    child.slots.close()


def begin_first_of_three(child: Watched) -> int:
    """The number of the set of three."""
    number = child.slots.board.put([(1, 1), (2, 1), (3, 1)])
    child.slots.begin(0, 1, 1, 60.0)
    return number


def test_what_waits_behind_a_handler_that_holds_the_interpreter_is_revoked_and_then_returned_once(
    child: Watched,
) -> None:
    number = begin_first_of_three(child)
    child.pass_time(0.4)
    assert [child.watch.take_revoked() for _ in range(2)] == [[], []]  # the child needs a moment to see it
    assert child.slots.board.is_revoked(number)
    child.pass_time(0.05)
    assert child.watch.take_revoked() == [(2, 1), (3, 1)]
    child.pass_time(5)
    assert child.watch.take_revoked() == []


def test_what_was_announced_before_it_saw_the_revocation_is_left_to_the_child(child: Watched) -> None:
    begin_first_of_three(child)
    child.pass_time(0.4)
    child.watch.take_revoked()
    child.slots.begin(1, 2, 1, 60.0)
    child.pass_time(0.05)
    assert child.watch.take_revoked() == [(3, 1)]


def test_what_began_and_ended_is_not_returned(child: Watched) -> None:
    begin_first_of_three(child)
    child.slots.begin(1, 2, 1, 60.0)
    child.slots.end(1)
    child.pass_time(0.4)
    child.watch.take_revoked()
    child.pass_time(0.05)
    assert child.watch.take_revoked() == [(3, 1)]


def test_a_slow_handler_beside_which_threads_run_is_no_reason(child: Watched) -> None:
    number = begin_first_of_three(child)
    child.pass_time(2, pulsing=True)
    assert child.watch.take_revoked() == []
    assert not child.slots.board.is_revoked(number)


def test_who_writes_while_a_handler_holds_the_interpreter_keeps_others_from_writing_after_a_second(
    child: Watched,
) -> None:
    child.slots.begin(0, 1, 1, 60.0)
    with child.slots.board.writing():
        child.pass_time(0.9)
        assert not child.watch.keeps_others_from_writing()
        child.pass_time(0.2)
        assert child.watch.keeps_others_from_writing()
    assert not child.watch.keeps_others_from_writing()


def test_who_writes_beside_a_handler_that_lets_others_run_keeps_nobody_from_writing(child: Watched) -> None:
    child.slots.begin(0, 1, 1, 60.0)
    with child.slots.board.writing(), child.slots.board.writing():
        child.pass_time(5, pulsing=True)
        assert not child.watch.keeps_others_from_writing()


def test_nothing_is_returned_of_a_set_that_the_child_has_replaced(child: Watched) -> None:
    begin_first_of_three(child)
    child.pass_time(0.4)
    child.watch.take_revoked()
    child.slots.board.put([(4, 1), (5, 1)])
    child.pass_time(0.05)
    assert child.watch.take_revoked() == []


def test_a_loop_stands_still_where_it_should_get_on(child: Watched) -> None:
    child.slots.board.enter(LoopStep.SETTLING)
    child.pass_time(9)
    assert child.watch.stalled(10) is None
    child.slots.board.get_on()
    child.pass_time(9)
    assert child.watch.stalled(10) is None
    child.pass_time(2)
    assert child.watch.stalled(10) == LoopStep.SETTLING


def test_a_loop_that_runs_handlers_or_waits_for_tickets_does_not_stand_still(child: Watched) -> None:
    child.slots.board.enter(LoopStep.ELSEWHERE)
    child.pass_time(60)
    assert child.watch.stalled(10) is None


def test_a_supervisor_that_was_frozen_itself_concludes_nothing_from_that_time(child: Watched) -> None:
    child.slots.board.enter(LoopStep.CLAIMING)
    child.watch.look()
    child.now += 1000
    child.watch.look()
    assert child.watch.stalled(10) is None
