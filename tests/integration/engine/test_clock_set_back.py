"""The clock of the database is set back by an hour: nothing waits for that hour to pass again."""

from __future__ import annotations

import datetime as dt

import pytest

from django_jobs.models import EngineLease, Job, Worker
from tests.support import verbs
from tests.support.brokers import MemoryBroker, job_in, pending_job, reread, running_job
from tests.support.clocks import Clock
from tests.support.ticks import tick_for
from tests.support.tuning import Tuning
from tests.support.verbs import Interpose, Scheduler

HOUR = dt.timedelta(hours=1)


@pytest.fixture
def clock(broker: MemoryBroker, tuning: Tuning) -> Clock:
    """The scheduler's clock, which nobody sets back."""
    clock = Clock()
    tuning.set(scheduler_clock=clock)
    return clock


def ahead(seconds: float = 0) -> dt.datetime:
    """A moment that is still to come, although it has been: an hour ahead."""
    return verbs.now() + HOUR + dt.timedelta(seconds=seconds)


def held_until(moment: dt.datetime) -> Job:
    job, _ = running_job()
    Job.objects.filter(pk=job.pk).update(lease_expires_at=moment)
    return job


def set_back(monkeypatch: pytest.MonkeyPatch, leader: Scheduler) -> None:
    """Let the scheduler have seen the clock an hour later than it is."""
    with monkeypatch.context() as before:
        moment = ahead()
        Interpose(before)("now", lambda: moment)
        leader.lead()


def test_a_leader_that_died_before_keeps_nobody_from_leading(broker: MemoryBroker) -> None:
    EngineLease.objects.create(name="scheduler", holder="dead", ticked_at=ahead(), expires_at=ahead(10))
    assert Scheduler("next").lead()


def test_a_leader_that_lives_leads_on(broker: MemoryBroker) -> None:
    assert Scheduler("one").lead()
    assert not Scheduler("two").lead()


def test_what_a_dead_worker_held_is_rescued_when_everybody_could_renew(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    leader = Scheduler("one")
    set_back(monkeypatch, leader)
    dead, living = held_until(ahead(30)), held_until(verbs.now() + dt.timedelta(seconds=30))
    tick_for(leader, clock, 30)
    assert reread(dead).status == "Running"
    tick_for(leader, clock, 2)
    assert (reread(dead).attempt, reread(dead).status == "Running", reread(living).status) == (1, False, "Running")


def test_a_scheduler_that_was_at_work_long_before_gives_everybody_the_time_to_renew(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    leader = Scheduler("one")
    with monkeypatch.context() as before:
        began, moment = clock.now, ahead()
        Interpose(before)("now", lambda: moment + dt.timedelta(seconds=clock.now - began))
        tick_for(leader, clock, 40)
    job = held_until(ahead(30))
    tick_for(leader, clock, 30)
    assert reread(job).status == "Running"
    tick_for(leader, clock, 2)
    assert reread(job).status != "Running"


def test_a_scheduler_that_starts_afterwards_sees_it_by_the_last_leaders_tick(clock: Clock) -> None:
    EngineLease.objects.create(name="scheduler", holder="dead", ticked_at=ahead(), expires_at=ahead(10))
    dead = held_until(ahead(30))
    tick_for(Scheduler("next"), clock, 32)
    assert reread(dead).status != "Running"


def test_a_long_lease_of_a_worker_with_other_settings_is_its_own(clock: Clock) -> None:
    job = held_until(ahead())
    tick_for(Scheduler("one"), clock, 40)
    assert reread(job).status == "Running"
    assert verbs.rescue_expired() == 0


def test_what_was_submitted_before_is_due(clock: Clock, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    leader = Scheduler("one")
    set_back(monkeypatch, leader)
    at_once, later, put_back, failed = pending_job(), pending_job(run_at=ahead(60)), pending_job(), job_in("Failed")
    Job.objects.filter(pk=at_once.pk).update(created_at=ahead(), ready_at=ahead())
    Job.objects.filter(pk=later.pk).update(created_at=ahead(), ready_at=ahead(60))
    Job.objects.filter(pk=put_back.pk).update(ready_at=ahead())
    tick_for(leader, clock, 2)
    jobs = (at_once, later, put_back, failed)
    assert [reread(job).status for job in jobs] == ["Queued", "Pending", "Pending", "Failed"]


def test_a_worker_that_died_before_is_not_counted_as_living(broker: MemoryBroker) -> None:
    verbs.announce_worker("living", ["jobs-normal"], slots=1, window=1)
    verbs.announce_worker("dead", ["jobs-normal"], slots=1, window=1)
    Worker.objects.filter(name="dead").update(last_seen=ahead())
    assert [worker.name for worker in verbs.live_workers()] == ["living"]
