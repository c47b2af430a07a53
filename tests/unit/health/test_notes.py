"""What probes say of what was noted."""

from __future__ import annotations

import threading

import pytest
from django.db import OperationalError

from django_jobs.health import notes as health_notes
from django_jobs.health.lookouts import Lookouts
from django_jobs.health.notes import live, ready
from tests.support.clocks import Clock
from tests.support.tuning import Tuning
from tests.support.verbs import HealthNotes, Interpose, Text


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


def reasons(notes: HealthNotes) -> list[Text]:
    code, told = ready(notes)
    assert code == 503
    return list(told["reasons"])


def codes(notes: HealthNotes) -> list[str]:
    return [reason.code for reason in reasons(notes)]


def test_a_worker_that_does_its_rounds_is_live_and_ready(notes: HealthNotes) -> None:
    assert (live(notes), ready(notes)) == ((200, {"status": "live"}), (200, {"status": "ready"}))


def test_one_whose_loop_hangs_is_neither(notes: HealthNotes, clock: Clock) -> None:
    clock.now += health_notes.LOOP_SECONDS + 10
    notes.database.answered()
    notes.broker.answered()
    code, told = live(notes)
    assert (code, told["status"]) == (503, "hanging")
    assert [(reason.code, round(reason.values["seconds"])) for reason in told["reasons"]] == [("hanging", 40)]
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
    assert (codes(waiting)[0], codes(leaving)[0]) == ("not_begun", "leaving")


def test_a_missing_child_is_told(notes: HealthNotes) -> None:
    notes.children = (2, 1)
    assert [(reason.code, reason.values) for reason in reasons(notes)] == [("child_missing", {"up": 1, "wanted": 2})]


def test_a_database_that_failed_is_told_by_the_kind_of_its_error_alone(notes: HealthNotes) -> None:
    notes.database.failed(OperationalError("password of user postgres"))
    (reason,) = reasons(notes)
    assert (reason.code, reason.values["error"]) == ("database_unavailable", "OperationalError")
    assert ("(OperationalError)" in reason, "postgres" in reason) == (True, False)
    notes.database.answered()
    assert ready(notes)[0] == 200


def test_one_that_never_answered_is_told_so(clock: Clock) -> None:
    notes = HealthNotes()
    notes.beat()
    notes.broker.answered()
    assert codes(notes) == ["database_not_yet"]
    clock.now += 7
    notes.database.failed(OperationalError())
    (reason,) = reasons(notes)
    assert (reason.code, reason.values["seconds"]) == ("database_unavailable", 7)


def test_old_news_count_for_nothing(notes: HealthNotes, clock: Clock) -> None:
    clock.now += health_notes.STALE_SECONDS + 1
    notes.beat()
    notes.database.answered()
    (reason,) = reasons(notes)
    assert (reason.code, round(reason.values["seconds"]), reason.values["error"]) == ("broker_unavailable", 31, "")


def test_gauges_are_read_where_they_are_wanted_and_forgotten_where_they_are_no_longer(interpose: Interpose) -> None:
    interpose("read_gauges", lambda: "read")
    wanted = [True, False]
    lookouts = Lookouts(HealthNotes(), lambda: wanted.pop(0))
    seen: list[object] = []
    for _ in range(2):
        lookouts.read_gauges()
        seen.append(lookouts.gauges)
    assert seen == ["read", None]


def test_a_lookout_asks_again_until_it_is_stopped(interpose: Interpose, tuning: Tuning) -> None:
    tuning.set(probe_look_pause_seconds=0.0)
    asked, has_asked_often = list[None](), threading.Event()

    def now() -> None:
        asked.append(None)
        if len(asked) == 3:
            has_asked_often.set()
            lookouts.stop()

    interpose("now", now)
    lookouts = Lookouts(HealthNotes(), lambda: False)
    lookouts.start()
    assert has_asked_often.wait(30)
