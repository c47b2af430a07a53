"""What probes say of what was noted."""

from __future__ import annotations

import pytest
from django.db import OperationalError

from django_jobs.health import notes as health_notes
from django_jobs.health.notes import HealthNotes
from django_jobs.health.probes import live, ready
from tests.support.clocks import Clock
from tests.support.tuning import Tuning


@pytest.fixture
def clock(tuning: Tuning) -> Clock:
    """The clock of notes, which stands still unless the test moves it."""
    clock = Clock()
    tuning.set(probe_clock=clock)
    return clock


@pytest.fixture
def notes(clock: Clock) -> HealthNotes:
    """Of a worker that does its rounds, with a database and a broker that answer."""
    notes = HealthNotes()
    notes.beat()
    notes.children = (2, 2)
    notes.database.answered()
    notes.broker.answered()
    return notes


def reasons(notes: HealthNotes) -> list[str]:
    code, told = ready(notes)
    assert code == 503
    return list(told["reasons"])


def test_a_worker_that_does_its_rounds_is_live_and_ready(notes: HealthNotes) -> None:
    assert (live(notes), ready(notes)) == ((200, {"status": "live"}), (200, {"status": "ready"}))


def test_one_whose_loop_hangs_is_neither(notes: HealthNotes, clock: Clock) -> None:
    clock.now += health_notes.LOOP_SECONDS + 10
    notes.database.answered()
    notes.broker.answered()
    code, told = live(notes)
    assert (code, told["status"]) == (503, "hanging")
    assert "has not got on for 40 s" in told["reasons"][0]
    assert reasons(notes) == told["reasons"]


def test_a_scheduler_whose_duty_waits_for_the_database_is_live(notes: HealthNotes, clock: Clock) -> None:
    got_on = clock.now
    notes.follow(lambda: got_on)
    clock.now = got_on + 100
    notes.beat()
    assert live(notes)[0] == 200
    clock.now = got_on + 200
    notes.beat()  # a worker's main loop gets on beside its scheduler
    assert live(notes)[0] == 503


def test_one_that_has_not_begun_or_leaves_is_live_and_not_ready(clock: Clock) -> None:
    waiting, leaving = HealthNotes(), HealthNotes()
    leaving.beat()
    leaving.is_leaving = True
    clock.now += 1000
    assert [live(waiting)[0], live(leaving)[0]] == [200, 200]
    assert reasons(waiting)[0] == "It has not begun: it waits for the database or the broker."
    assert reasons(leaving)[0] == "It was told to stop."


def test_a_missing_child_is_told(notes: HealthNotes) -> None:
    notes.children = (2, 1)
    assert reasons(notes) == ["1 of 2 child processes are up."]


def test_a_database_that_failed_is_told_by_the_kind_of_its_error_alone(notes: HealthNotes) -> None:
    notes.database.failed(OperationalError("password of user postgres"))
    assert reasons(notes) == ["The database does not answer, for 0 s (OperationalError)."]
    notes.database.answered()
    assert ready(notes)[0] == 200


def test_one_that_never_answered_is_told_so(clock: Clock) -> None:
    notes = HealthNotes()
    notes.beat()
    notes.broker.answered()
    assert reasons(notes) == ["The database has not answered yet, for 0 s."]
    notes.database.failed(OperationalError())
    assert reasons(notes) == ["The database does not answer, since this process started (OperationalError)."]


def test_old_news_count_for_nothing(notes: HealthNotes, clock: Clock) -> None:
    clock.now += health_notes.STALE_SECONDS + 1
    notes.beat()
    notes.database.answered()
    assert reasons(notes) == ["The broker does not answer, for 31 s."]
