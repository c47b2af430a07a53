"""What a child shows its supervisor, as the other process sees it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from tests.support.verbs import MAX_SET, LoopStep, SharedSlots


@pytest.fixture
def slots() -> Iterator[SharedSlots]:
    slots = SharedSlots.create(3)
    yield slots
    slots.close()


@pytest.fixture
def seen(slots: SharedSlots) -> SharedSlots:
    """The same memory in the supervisor."""
    return SharedSlots(slots.descriptor, slots.count)


def test_what_was_claimed_last_is_seen(slots: SharedSlots, seen: SharedSlots) -> None:
    slots.board.put([(2**62, 1), (5, 3)])
    assert seen.board.claimed() == (1, [(2**62, 1), (5, 3)])
    slots.board.put([])
    assert seen.board.claimed() == (2, [])


def test_the_largest_set_has_room_and_overwrites_nothing(slots: SharedSlots, seen: SharedSlots) -> None:
    slots.begin(2, 7, 1, 1.0)
    slots.note_renewal(5.0)
    slots.board.put((number, number) for number in range(MAX_SET))
    assert len(seen.board.claimed()[1]) == MAX_SET
    assert ([item.pk for item in seen.occupied()], seen.renewed()) == ([7], 5.0)


def test_a_set_that_was_revoked_stays_so_and_the_next_one_is_not(slots: SharedSlots, seen: SharedSlots) -> None:
    first = slots.board.put([(1, 1), (2, 1)])
    assert not slots.board.is_revoked(first)
    seen.board.revoke(seen.board.claimed()[0])
    assert slots.board.is_revoked(first)
    second = slots.board.put([(3, 1)])
    assert (slots.board.is_revoked(first), slots.board.is_revoked(second)) == (True, False)


def test_a_loop_that_gets_on_is_seen_to(slots: SharedSlots, seen: SharedSlots) -> None:
    seen_steps = []
    moves: list[Callable[[], None]] = [
        lambda: slots.board.enter(LoopStep.CLAIMING),
        slots.board.get_on,
        lambda: slots.board.enter(LoopStep.ELSEWHERE),
    ]
    for move in moves:
        move()
        seen_steps.append((seen.board.loop, seen.board.step))
    assert [step for _, step in seen_steps] == [LoopStep.CLAIMING, LoopStep.CLAIMING, LoopStep.ELSEWHERE]
    assert len({number for number, _ in seen_steps}) == 3


def test_only_the_main_thread_shows_that_the_loop_gets_on(slots: SharedSlots, seen: SharedSlots) -> None:
    before, other = seen.board.loop, threading.Thread(target=slots.board.get_on)
    other.start()
    other.join()
    assert seen.board.loop == before


def test_who_failed_to_write_writes_no_more(slots: SharedSlots, seen: SharedSlots) -> None:
    with pytest.raises(ZeroDivisionError), slots.board.writing():
        raise ZeroDivisionError
    assert not seen.board.is_writing
