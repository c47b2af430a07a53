"""Which tickets the broker's tools show as running, and until when."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from django_jobs.worker.child_state import PublishedTickets
from tests.support.tuning import Tuning
from tests.support.verbs import RunningJobs, SharedSlots, Ticket

LONG, SHORT = Ticket(7, 2026, 1, 1), Ticket(8, 2026, 1, 1)


class Stage:
    """Two slots; a clock that goes on by hand."""

    def __init__(self, tuning: Tuning) -> None:
        self.slots = SharedSlots.create(2)
        self.running = RunningJobs()
        self.shown = PublishedTickets(self.slots, self.running)
        self.now = 100.0
        tuning.set(shared_slots_clock=SimpleNamespace(monotonic=lambda: self.now))

    def begin(self, slot: int, ticket: Ticket) -> None:
        claimed: Any = SimpleNamespace(
            key=(ticket.pk, ticket.attempt), pk=ticket.pk, attempt=ticket.attempt, ticket=ticket
        )
        self.running.add(claimed, SimpleNamespace())  # type: ignore[arg-type]
        self.slots.begin(slot, ticket.pk, ticket.attempt, 60)

    def tickets(self) -> list[Ticket]:
        return [item.ticket for item in self.shown.update()]


@pytest.fixture
def stage(tuning: Tuning) -> Iterator[Stage]:
    stage = Stage(tuning)
    yield stage
    stage.slots.close()


@pytest.fixture
def showing(stage: Stage) -> Stage:
    """One of two jobs has run for long enough to be shown, and is."""
    stage.begin(0, LONG)
    stage.now += 0.6
    stage.begin(1, SHORT)
    assert stage.shown.is_any_missing()
    assert stage.tickets() == [LONG]
    return stage


def test_only_what_has_run_for_half_a_second_is_shown_and_then_nothing_is_missing(showing: Stage) -> None:
    assert not showing.shown.is_any_missing()
    assert showing.tickets() == [LONG]
    (shown,) = showing.shown.update()
    assert time.time() - shown.started >= 0.6


def test_an_end_is_told_until_the_next_update_shows_it_no_longer(showing: Stage) -> None:
    assert not showing.shown.has_ended()
    showing.slots.end(0)
    assert showing.shown.has_ended()
    assert (showing.tickets(), showing.shown.has_ended()) == ([], False)


def test_the_end_of_what_is_not_shown_is_no_news(showing: Stage) -> None:
    showing.slots.end(1)
    assert not showing.shown.has_ended()


def test_a_shown_ticket_is_kept_until_it_is_shown_no_longer(showing: Stage) -> None:
    assert showing.shown.without_shown([LONG, SHORT]) == [SHORT]
    showing.slots.end(0)
    assert showing.shown.without_shown([LONG, SHORT]) == [SHORT]
    showing.shown.update()
    assert showing.shown.without_shown([LONG, SHORT]) == [LONG, SHORT]
