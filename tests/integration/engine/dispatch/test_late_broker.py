"""A broker that is slow, not down, holds up nobody for long."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest
import redis

from django_jobs.models import Job, JobType
from tests.support import verbs
from tests.support.brokers import pending_job, reread
from tests.support.clocks import Clock
from tests.support.tuning import Tuning
from tests.support.verbs import RQBroker

T = TypeVar("T")


class SlowBroker(RQBroker):
    """Answers, but after a while."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        super().__init__()
        self.clock, self.seconds = clock, seconds

    def _call(self, function: Callable[[redis.Redis], T]) -> T:
        def late(client: redis.Redis) -> T:
            self.clock.now += self.seconds
            return function(client)

        return super()._call(late)


@pytest.fixture
def clock(redis_client: redis.Redis, tuning: Tuning) -> Clock:
    clock = Clock()
    tuning.set(broker_clock=clock)
    tuning.let_be("late_broker_seconds")
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
    assert verbs.dispatch_patiently() == 1
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
    verbs.use_broker(SlowBroker(clock, 0.15))
    assert verbs.dispatch_new(pending_job()) == 1
    pending_job()
    pending_job()
    before = clock.now
    assert verbs.wake() == 2
    assert clock.now - before < 0.4


def test_an_answer_that_comes_in_time_says_nothing_of_the_broker(clock: Clock) -> None:
    broker = SlowBroker(clock, 0.15)
    broker.look()
    assert not broker.answers_late()
    broker.seconds = 0.25
    broker.look()
    assert broker.answers_late()
    clock.now += 0.9
    assert broker.answers_late()
    clock.now += 0.2
    assert not broker.answers_late()
