"""A broker that is slow, not down, holds up nobody for long."""

from __future__ import annotations

import pytest

from django_jobs.models import Job, JobType
from tests.support import verbs
from tests.support.brokers import MemoryBroker, pending_job, reread
from tests.support.clocks import Clock
from tests.support.tuning import Tuning
from tests.support.verbs import TimeBudget


class SlowBroker(MemoryBroker):
    """Answers, but after a while."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        super().__init__()
        self.clock = clock
        self.seconds = seconds

    def reach(self) -> None:
        super().reach()
        self.clock.now += self.seconds


@pytest.fixture
def clock(tuning: Tuning) -> Clock:
    clock = Clock()
    tuning.set(broker_rest_clock=clock, broker_rests_until=0.0)
    tuning.let_be("broker_budget_seconds")
    return clock


def test_many_submissions_wait_for_a_slow_broker_once_a_second(clock: Clock, kind: JobType) -> None:
    verbs.use_broker(SlowBroker(clock, 0.9))
    for job in [pending_job(kind) for _ in range(50)]:
        verbs.dispatch_new(job)
        verbs.wake()
    assert clock.now == 1000.9
    assert not Job.objects.exclude(status="Pending").exists()


def test_the_scheduler_has_time_for_a_slow_broker(clock: Clock) -> None:
    verbs.use_broker(SlowBroker(clock, 0.9))
    job = pending_job()
    verbs.dispatch_new(job)
    assert verbs.dispatch_without_budget() == 1
    assert reread(job).status == "Queued"


def test_a_broker_that_is_fast_again_gets_tickets_after_a_second(clock: Clock) -> None:
    broker = SlowBroker(clock, 0.9)
    verbs.use_broker(broker)
    job = pending_job()
    verbs.wake()
    broker.seconds = 0.0
    clock.now += 1.1
    assert verbs.dispatch_new(job) == 1


def test_a_broker_that_becomes_slow_while_it_is_pushed_to_is_asked_no_more(clock: Clock) -> None:
    verbs.use_broker(SlowBroker(clock, 0.2))
    assert verbs.dispatch_new(pending_job()) == 1
    pending_job()
    pending_job()
    before = clock.now
    assert verbs.wake() == 2
    assert clock.now - before < 0.5


def test_a_budget_that_was_spent_stays_spent(clock: Clock) -> None:
    budget, endless = TimeBudget(0.3), TimeBudget()
    for item in (budget, endless):
        item.spend(lambda: setattr(clock, "now", clock.now + 0.4))
    clock.now += verbs.BROKER_REST_SECONDS + 0.1
    assert (budget.is_spent(), endless.is_spent()) == (True, False)
    assert not TimeBudget(0.3).is_spent()
