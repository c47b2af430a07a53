"""A duty that makes no round is told by its name: in the log, as an alarm, by ``jobs_check``."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pytest
from django.db import OperationalError

from django_jobs.models import Alert
from tests.support import verbs
from tests.support.brokers import MemoryBroker
from tests.support.clocks import Clock
from tests.support.tuning import Tuning
from tests.support.verbs import PROBLEM, AlertEvaluator, DutyWatch
from tests.support.waiting import wait_until


@pytest.fixture
def clock(broker: MemoryBroker, tuning: Tuning) -> Clock:
    clock = Clock()
    tuning.set(duty_clock=clock)
    return clock


@pytest.fixture
def goes_on(clock: Clock) -> Iterator[threading.Event]:
    """Ends the round of the duty."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def watch(goes_on: threading.Event) -> Iterator[DutyWatch]:
    """That of a scheduler one of whose duties makes a round."""
    watch, has_begun = DutyWatch("host-7"), threading.Event()

    def fire() -> None:
        with watch.turn("fire_schedules"):
            has_begun.set()
            goes_on.wait(60)

    thread = threading.Thread(target=fire, daemon=True)
    thread.start()
    has_begun.wait(60)
    yield watch
    goes_on.set()
    thread.join(60)


def test_a_duty_that_makes_no_round_for_half_a_minute_is_told_by_its_name(
    watch: DutyWatch, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    clock.now += 29
    assert watch.step()[0] == 0
    AlertEvaluator().evaluate()
    assert not Alert.objects.exists()

    clock.now += 2
    for _ in range(2):
        assert watch.step()[0] == 1
    (line,) = [item.getMessage() for item in caplog.records if "duty_stalled" in item.getMessage()]
    assert line.startswith("event=duty_stalled duty=fire_schedules seconds=31")
    assert "goes_on.wait(60)" in line  # where it hangs
    AlertEvaluator().evaluate()
    alert = Alert.objects.get()
    assert (alert.rule, alert.subject, alert.facts["scheduler"]) == ("duty_stalled", "fire_schedules", "host-7")
    assert any("fire_schedules" in found.text for found in verbs.examine() if found.level == PROBLEM)


def test_one_that_goes_on_is_told_no_more(watch: DutyWatch, clock: Clock, goes_on: threading.Event) -> None:
    clock.now += 31
    watch.step()
    assert [item.duty for item in verbs.stalled_duties(verbs.now())] == ["fire_schedules"]
    goes_on.set()
    wait_until(lambda: watch.got_on == clock.now, 60, "the end of the round")
    assert watch.step()[0] == 0
    assert verbs.stalled_duties(verbs.now()) == []


class Canceled(Exception):
    """What a driver raises for a statement that took too long."""

    sqlstate = "57014"


def test_a_round_that_the_database_does_not_let_come_to_its_end_is_none(clock: Clock) -> None:
    watch = DutyWatch("host-7")

    def fire(cause: Exception) -> None:
        with contextlib.suppress(OperationalError), watch.turn("fire_schedules"):
            clock.now += 20
            raise OperationalError from cause

    fire(Canceled())
    assert watch.step()[0] == 0
    fire(Canceled())
    assert watch.step()[0] == 1
    assert [item.duty for item in verbs.stalled_duties(verbs.now())] == ["fire_schedules"]
    assert watch.got_on == clock.now  # another process would fare no better
    fire(ConnectionError())  # nobody else gets on, either
    assert watch.step()[0] == 0
    assert verbs.stalled_duties(verbs.now()) == []


def test_what_another_scheduler_does_now_is_not_told_of_this_one(clock: Clock) -> None:
    watch = DutyWatch("host-7")
    for duty in ("fire_schedules", "end_neighbors"):
        with contextlib.suppress(OperationalError), watch.turn(duty):
            clock.now += 40
            raise OperationalError from Canceled()
    watch.forget_all_but(["end_neighbors"])
    watch.step()
    assert [item.duty for item in verbs.stalled_duties(verbs.now())] == ["end_neighbors"]


def test_a_process_gets_on_while_no_duty_of_it_hangs(watch: DutyWatch, clock: Clock) -> None:
    began = clock.now
    clock.now += 100
    assert watch.got_on == began
    assert DutyWatch("another").got_on == clock.now
