"""When a scheduler takes a lease that ran out for a lost worker's: only after everybody could have renewed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
from django.db import IntegrityError, OperationalError

from django_jobs.models import EngineLease
from tests.support import verbs
from tests.support.brokers import MemoryBroker, reread
from tests.support.clocks import Clock
from tests.support.ticks import expired_job, tick_for
from tests.support.tuning import Tuning
from tests.support.verbs import Interpose, Scheduler


@pytest.fixture
def clock(broker: MemoryBroker, tuning: Tuning) -> Clock:
    """The scheduler's clock."""
    clock = Clock()
    tuning.set(scheduler_clock=clock)
    return clock


def failing(error: Exception) -> Callable[[], int]:
    def fail() -> int:
        raise error

    return fail


def lasting(clock: Clock, seconds: float) -> Callable[[], int]:
    def last() -> int:
        clock.now += seconds
        return 1

    return last


def test_expired_leases_are_not_rescued_before_everybody_could_renew(clock: Clock) -> None:
    job, leader = expired_job(), Scheduler("one")
    tick_for(leader, clock, 30)
    assert reread(job).status == "Running"


def test_expired_leases_are_rescued_after_a_steady_lease(clock: Clock) -> None:
    job, leader = expired_job(), Scheduler("one")
    tick_for(leader, clock, 31)
    assert reread(job).attempt == 1
    assert reread(job).status in {"Failed", "Queued"}


def test_a_gap_between_ticks_starts_the_steady_time_again(clock: Clock) -> None:
    job, leader = expired_job(), Scheduler("one")
    tick_for(leader, clock, 29)
    clock.now += 20
    assert not leader.is_steady()
    tick_for(leader, clock, 29)
    assert reread(job).status == "Running"


def test_a_scheduler_that_was_frozen_in_the_midst_of_a_tick_rescues_nothing_in_its_rest(
    clock: Clock, interpose: Interpose
) -> None:
    job, leader = expired_job(), Scheduler("one")
    tick_for(leader, clock, 30)

    def freeze() -> int:
        clock.now += 3_600
        return 0

    interpose("dispatch_patiently", freeze)  # the duty before the rescue
    leader.tick()

    assert reread(job).status == "Running"


def test_one_that_stood_by_while_the_database_answered_rescues_as_soon_as_it_leads(clock: Clock) -> None:
    job, standby = expired_job(), Scheduler("two")
    Scheduler("one").lead()
    EngineLease.objects.update(expires_at=verbs.now() + dt.timedelta(seconds=12))
    tick_for(standby, clock, 31)
    assert reread(job).status == "Running"
    EngineLease.objects.update(expires_at=verbs.now() - dt.timedelta(seconds=1))
    standby.tick()
    assert reread(job).status in {"Failed", "Queued"}


def test_one_that_stood_by_while_the_database_was_away_waits_until_everybody_could_renew(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    standby = Scheduler("two")
    Scheduler("one").lead()
    EngineLease.objects.update(expires_at=verbs.now() + dt.timedelta(seconds=12))
    tick_for(standby, clock, 31)
    with monkeypatch.context() as patch:
        Interpose(patch)("now", failing(OperationalError("the server closed the connection")))
        standby.tick()
    EngineLease.objects.update(expires_at=verbs.now() - dt.timedelta(seconds=1))
    tick_for(standby, clock, 29)
    assert not standby.is_steady()


def too_slow() -> OperationalError:
    """What MariaDB answers when a statement has reached the host's limit."""
    error = OperationalError(1969, "Query execution was interrupted (max_statement_time exceeded)")
    error.__cause__ = Exception(*error.args)
    return error


@pytest.mark.parametrize("error", [IntegrityError("a host's foreign key"), too_slow()], ids=["refused", "too slow"])
def test_a_duty_that_fails_for_ever_keeps_nobody_from_being_rescued(
    clock: Clock, interpose: Interpose, error: Exception
) -> None:
    interpose("forget_workers", failing(error))
    job, leader = expired_job(), Scheduler("one")
    tick_for(leader, clock, 31)
    assert reread(job).attempt == 1
    assert reread(job).status in {"Failed", "Queued"}


def test_a_duty_that_lost_its_connection_starts_the_steady_time_again(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    leader = Scheduler("one")
    tick_for(leader, clock, 31)
    with monkeypatch.context() as patch:
        Interpose(patch)("forget_workers", failing(OperationalError("the server closed the connection")))
        leader.tick()
    assert not leader.is_steady()


def test_a_machine_that_was_suspended_rescues_nothing_before_everybody_could_renew(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, leader = expired_job(), Scheduler("one")
    tick_for(leader, clock, 30)
    now = verbs.now
    with monkeypatch.context() as patch:  # the monotonic clock stood still meanwhile
        Interpose(patch)("now", lambda: now() + dt.timedelta(hours=1))
        leader.tick()
        tick_for(leader, clock, 29)
        assert reread(job).status == "Running"
        tick_for(leader, clock, 2)
    assert reread(job).status in {"Failed", "Queued"}


def test_many_duties_that_take_their_time_make_a_long_tick_but_no_gap(clock: Clock, interpose: Interpose) -> None:
    job, leader = expired_job(), Scheduler("one")
    interpose("dispatch_patiently", lasting(clock, 3))
    interpose("expire_jobs", lasting(clock, 3))
    interpose("forget_workers", lasting(clock, 3))
    tick_for(leader, clock, 5)
    assert reread(job).status in {"Failed", "Queued"}
