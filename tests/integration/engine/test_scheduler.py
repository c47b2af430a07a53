"""The duties that nobody calls: one leads, one failing duty stops no other."""

from __future__ import annotations

import datetime as dt
import logging
import threading

import pytest

from django_jobs.models import EngineLease, Job, Worker
from tests.support import verbs
from tests.support.brokers import MemoryBroker, job_in, pending_job
from tests.support.clocks import Clock
from tests.support.statements import statements_of
from tests.support.tuning import Tuning
from tests.support.verbs import Interpose, Scheduler


@pytest.fixture
def clock(broker: MemoryBroker, tuning: Tuning) -> Clock:
    """The scheduler's clock."""
    clock = Clock()
    tuning.set(scheduler_clock=clock)
    return clock


def test_a_tick_dispatches_what_waits(clock: Clock, broker: MemoryBroker) -> None:
    job = pending_job()
    assert Scheduler("one").tick()["dispatch"] == 1
    assert broker.pks() == [job.pk]


def test_a_tick_with_nothing_to_do_takes_few_statements(clock: Clock, broker: MemoryBroker) -> None:
    job_in("Completed")
    broker.take_all()
    leader = Scheduler("one")
    leader.tick()
    assert statements_of(leader.tick) <= 20


def test_a_second_scheduler_does_nothing(clock: Clock) -> None:
    assert Scheduler("one").lead()
    pending_job()
    assert Scheduler("two").tick() == {}
    assert Job.objects.get().status == "Pending"


def test_the_leader_keeps_the_lead(clock: Clock) -> None:
    leader = Scheduler("one")
    assert [leader.lead(), Scheduler("two").lead(), leader.lead()] == [True, False, True]


def test_a_leader_that_fell_silent_is_followed(clock: Clock) -> None:
    Scheduler("one").lead()
    EngineLease.objects.update(expires_at=verbs.now() - dt.timedelta(seconds=1))
    assert Scheduler("two").lead()
    assert not Scheduler("one").lead()


def test_a_leader_that_resigns_is_followed_at_once(clock: Clock) -> None:
    leader = Scheduler("one")
    leader.lead()
    leader.resign()
    assert Scheduler("two").lead()


def test_only_the_leaders_resignation_counts(clock: Clock) -> None:
    leader = Scheduler("one")
    leader.lead()
    Scheduler("two").resign()
    assert not Scheduler("two").lead()


def test_a_mistake_when_the_lead_is_taken_is_reported_and_does_not_end_the_scheduler(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, interpose: Interpose
) -> None:
    leader = Scheduler("one")
    leader.tick()
    with monkeypatch.context() as patch:
        patch.setattr(leader, "lead", lambda: 1 / 0)
        assert (leader.leads, leader.tick(), leader.leads) == (True, {}, False)
    interpose("dispatch_patiently", lambda: 3)
    assert leader.tick() == {"dispatch": 3}


def test_a_failing_duty_stops_no_other(clock: Clock, interpose: Interpose) -> None:
    def fail() -> int:
        raise ZeroDivisionError

    interpose("dispatch_patiently", fail)
    Worker.objects.create(name="old", pid=1, hostname="h", queues="", started_at=LONG_AGO, last_seen=LONG_AGO)
    assert Scheduler("one").tick() == {"forget_workers": 1}


LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


def test_a_duty_is_reported_each_time_that_it_begins_to_fail(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, interpose: Interpose, caplog: pytest.LogCaptureFixture
) -> None:
    divisors = iter([0, 0, 1, 0])
    interpose("dispatch_patiently", lambda: 0 // next(divisors))
    monkeypatch.setattr(logging.getLogger("django_jobs"), "propagate", True)
    leader, told = Scheduler("one"), list[int]()
    for _ in range(4):
        leader.tick()
        told.append(caplog.text.count("event=duty_failed duty=dispatch error=ZeroDivisionError"))
    assert told == [1, 1, 1, 2]


def test_living_workers_are_not_forgotten(clock: Clock) -> None:
    verbs.announce_worker("young", ["jobs-low"], slots=1)
    assert verbs.forget_workers() == 0
    assert [worker.name for worker in verbs.live_workers()] == ["young"]


def test_the_loop_ends_when_it_is_told_and_gives_up_the_lead(clock: Clock) -> None:
    stop = threading.Event()
    stop.set()
    leader = Scheduler("one")
    leader.lead()
    leader.run(stop)
    assert EngineLease.objects.get(pk="scheduler").holder == ""
