"""The memory that a child shares with its supervisor."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pytest

from django_jobs.worker.shared import REMEMBERED
from tests.support.verbs import MAX_SET, SharedSlots, StopRequest


@pytest.fixture
def slots() -> Iterator[SharedSlots]:
    slots = SharedSlots.create(3)
    yield slots
    slots.close()


def test_new_slots_are_free(slots: SharedSlots) -> None:
    assert slots.occupied() == []


def test_a_handler_that_began_is_seen_with_its_attempt_and_timeout(slots: SharedSlots) -> None:
    slots.begin(1, 2**62, 3, 12.5)
    (item,) = slots.occupied()
    assert (item.slot, item.key, item.timeout, item.stop_request) == (1, (2**62, 3), 12.5, StopRequest.NONE)
    assert 0 <= item.seconds < 60


def test_a_handler_that_ended_is_seen_no_more(slots: SharedSlots) -> None:
    slots.begin(0, 1, 1, 1.0)
    slots.begin(2, 2, 1, 1.0)
    slots.end(0)
    assert [item.pk for item in slots.occupied()] == [2]


def test_a_stop_request_is_for_what_runs_in_that_slot(slots: SharedSlots) -> None:
    slots.begin(0, 1, 1, 1.0)
    slots.begin(1, 2, 1, 1.0)
    slots.request_stop(slots.occupied()[1], StopRequest.CANCEL)
    assert [(item.pk, item.stop_request) for item in slots.occupied()] == [
        (1, StopRequest.NONE),
        (2, StopRequest.CANCEL),
    ]


def test_the_next_job_of_a_slot_does_not_inherit_a_stop_request(slots: SharedSlots) -> None:
    slots.begin(0, 1, 1, 1.0)
    slots.request_stop(slots.occupied()[0], StopRequest.CANCEL)
    slots.end(0)
    slots.begin(0, 2, 1, 1.0)
    assert slots.occupied()[0].stop_request == StopRequest.NONE


@pytest.mark.parametrize("follower", [(2, 1), (1, 2)], ids=["another job", "its next attempt"])
def test_a_stop_request_that_comes_too_late_is_not_for_what_runs_there_now(
    slots: SharedSlots, follower: tuple[int, int]
) -> None:
    slots.begin(0, 1, 1, 1.0)
    (seen,) = slots.occupied()
    slots.end(0)
    slots.begin(0, *follower, 1.0)
    slots.request_stop(seen, StopRequest.CANCEL)
    assert slots.occupied()[0].stop_request == StopRequest.NONE
    slots.request_stop(slots.occupied()[0], StopRequest.LOST)
    assert slots.occupied()[0].stop_request == StopRequest.LOST


def test_the_other_process_sees_the_same_slots(slots: SharedSlots) -> None:
    other = SharedSlots(slots.descriptor, slots.count)
    slots.begin(0, 1, 1, 1.0)
    assert [item.pk for item in other.occupied()] == [1]


def test_handlers_that_ended_are_remembered_and_the_oldest_forgotten(slots: SharedSlots) -> None:
    for pk in range(1, REMEMBERED + 10):
        slots.begin(pk % 3, pk, 2, 1.0)
        slots.end(pk % 3)
    ended = slots.ended()
    assert len(ended) == REMEMBERED + slots.count
    assert ((REMEMBERED + 9, 2) in ended, (1, 2) in ended, (0, 0) in ended) == (True, False, False)


def test_the_last_renewal_is_seen_by_the_other_process_and_touches_nothing_else(slots: SharedSlots) -> None:
    slots.begin(2, 1, 1, 1.0)
    slots.end(2)
    assert slots.renewed() == 0
    slots.note_renewal(123.456)
    assert SharedSlots(slots.descriptor, slots.count).renewed() == 123.456
    assert slots.ended() == {(1, 1)}
    assert slots.occupied() == []


def test_what_is_about_to_be_claimed_is_seen_until_it_is(slots: SharedSlots) -> None:
    many = [(pk, 2) for pk in range(1, MAX_SET + 10)]
    with slots.in_hands([(2**62, 3), (7, 1)]):
        assert SharedSlots(slots.descriptor, slots.count).in_hand() == {(2**62, 3), (7, 1)}
    assert slots.in_hand() == frozenset()
    with contextlib.suppress(ZeroDivisionError), slots.in_hands(many):
        assert slots.in_hand() == set(many[:MAX_SET])
        raise ZeroDivisionError
    assert slots.in_hand() == frozenset()


def test_the_thread_of_a_handler_is_seen(slots: SharedSlots) -> None:
    slots.begin(0, 1, 1, 1.0)
    assert slots.occupied()[0].thread == threading.get_ident()
