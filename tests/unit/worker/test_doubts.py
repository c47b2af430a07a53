"""Claims without an answer, and tickets whose rows others hold."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from django_jobs.engine import timing
from django_jobs.worker.child_state import Doubts, HeldTickets
from tests.support.tuning import Tuning
from tests.support.verbs import Ticket

FIRST, SECOND = Ticket(1, 2026, 1, 1), Ticket(2, 2026, 1, 1)


def claimed(ticket: Ticket) -> Any:
    return SimpleNamespace(key=(ticket.pk, ticket.attempt), pk=ticket.pk, attempt=ticket.attempt)


@pytest.fixture
def clock(tuning: Tuning) -> SimpleNamespace:
    clock = SimpleNamespace(now=1.0)
    clock.monotonic = lambda: clock.now
    tuning.set(claim_doubt_clock=clock)
    return clock


def test_what_is_in_doubt_is_known_until_it_is_answered(clock: SimpleNamespace) -> None:
    doubts = Doubts()
    doubts.add([FIRST, SECOND])
    assert doubts.known() == {(1, 1), (2, 1)}
    runs = claimed(FIRST)
    assert doubts.answered([FIRST, SECOND], [runs]) == [runs]
    assert (doubts.known(), doubts.tickets()) == (set(), [])


def test_what_was_in_doubt_for_too_long_is_given_up_and_does_not_run_when_the_answer_comes_after_all(
    clock: SimpleNamespace,
) -> None:
    doubts = Doubts()
    doubts.add([FIRST])
    clock.now += timing.DOUBTED_CLAIM_SECONDS
    doubts.add([SECOND])
    doubts.give_up_old()
    assert doubts.known() == {(1, 1), (2, 1)}
    clock.now += 0.1
    doubts.give_up_old()
    assert doubts.known() == {(2, 1)}
    runs = claimed(SECOND)
    assert doubts.answered([FIRST, SECOND], [claimed(FIRST), runs]) == [runs]
    doubts.add([FIRST])  # it was issued again
    runs = claimed(FIRST)
    assert doubts.answered([FIRST], [runs]) == [runs]


def test_what_was_resolved_is_in_doubt_no_longer(clock: SimpleNamespace) -> None:
    doubts = Doubts()
    doubts.add([FIRST, SECOND])
    doubts.resolve([SECOND])
    assert doubts.tickets() == [SECOND]


def test_a_ticket_that_is_found_to_be_held_again_and_again_comes_back_ever_later(clock: SimpleNamespace) -> None:
    held = HeldTickets()
    pauses = []
    for _ in range(7):
        held.add([FIRST])
        began = clock.now
        while not held.take_due():
            clock.now += timing.HELD_ROW_SECONDS
        pauses.append(clock.now - began)
    assert pauses == [0.25, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0]
    assert held.take_due() == []
    clock.now += timing.LONGEST_HELD_ROW_SECONDS
    held.add([FIRST])
    clock.now += timing.HELD_ROW_SECONDS
    assert held.take_due() == [FIRST]


def test_whoever_makes_passes_is_told_of_held_tickets(clock: SimpleNamespace) -> None:
    held, told = HeldTickets(), list[bool]()
    held.found_more = lambda: told.append(True)
    held.add([FIRST])
    assert told == [True]


def test_what_is_kept_is_put_back_when_its_worker_leaves(clock: SimpleNamespace) -> None:
    held = HeldTickets()
    held.add([FIRST, SECOND])
    assert held.take_due() == []
    assert set(held.take_due(takes_all=True)) == {FIRST, SECOND}
