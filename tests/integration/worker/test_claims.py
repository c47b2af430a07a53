"""A child beside a backlog: it takes its share without tickets, and goes back to tickets when that gives little."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from django.db import OperationalError, connection

from django_jobs.models import ExecutionLog, Job, JobType, Organization
from tests.support import verbs
from tests.support.brokers import ALL_QUEUES, WORKER, MemoryBroker, job_in, pending_job, pending_jobs, reread
from tests.support.clocks import Clock
from tests.support.factories import make_organization
from tests.support.quick_types import make_room
from tests.support.tuning import Tuning
from tests.support.verbs import Child, Claims, Interpose, TakenTicket

pytestmark = [
    pytest.mark.skipif(connection.vendor != "postgresql", reason="only there a move passes two statuses at once"),
    pytest.mark.django_db(transaction=True),
    pytest.mark.parametrize("child", [1], indirect=True),
]


@pytest.fixture
def backlog(kind: JobType, organization: Organization, broker: MemoryBroker) -> list[Job]:
    """More jobs than the broker has room for, of a child whose sets are large."""
    verbs.announce_worker(WORKER, ALL_QUEUES, slots=20)
    return pending_jobs(kind, organization, 120)


def expect_backlog(child: Child, job: Job) -> None:
    """Have the child come back from a large set of such jobs, for which it knows the policy's answer."""
    job_in("Completed", job_type=job.job_type, organization=job.organization)
    child.claims.expects_backlog = True


def with_refill(child: Child, refill: Any) -> Child:
    """The child, which asks this function to have the broker filled in place of its refiller."""
    child.claims = Claims(child.state, refill)
    return child


def finish(child: Child) -> None:
    child.slots.run_batch()
    child.slots.wait()
    child.slots.close()
    child.state.settle()


def without_tickets(jobs: list[Job]) -> int:
    """Return how many of the jobs passed Queued and began in one statement."""
    queued = ExecutionLog.objects.filter(job__in=jobs, to_status="Queued").values_list("job", "timestamp")
    running = ExecutionLog.objects.filter(job__in=jobs, to_status="Running").values_list("job", "timestamp")
    return len(set(queued) & set(running))


def test_a_burst_works_off_a_backlog_mostly_without_tickets(
    child: Child, broker: MemoryBroker, backlog: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_room(child, backlog[0].job_type_id, 30)
    monkeypatch.setattr(child.state.prefetch, "ran", lambda *_: None)  # however slow the machine is
    with_refill(child, lambda _: None)  # a refiller may have the lock when a share is due
    child.run()
    assert {reread(job).status for job in backlog} == {"Completed"}
    assert without_tickets(backlog) >= 60
    assert broker.pks() == []


def test_tickets_that_wait_are_taken_before_the_backlog(child: Child, broker: MemoryBroker, backlog: list[Job]) -> None:
    verbs.dispatch()
    ticketed = broker.pks()
    make_room(child, backlog[0].job_type_id, len(ticketed) + 20)
    expect_backlog(child, backlog[0])
    child._take_and_claim()
    running = [item.pk for item in child.state.in_hand.waiting()]
    assert running[: len(ticketed)] == ticketed
    assert len(running) == len(ticketed) + 20
    finish(child)


def test_tickets_that_have_to_wait_are_not_overtaken_by_a_share(
    child: Child, broker: MemoryBroker, backlog: list[Job]
) -> None:
    verbs.dispatch()
    ticketed = broker.pks()
    make_room(child, "another type", len(ticketed) + 20)
    expect_backlog(child, backlog[0])
    child._take_and_claim()
    assert [item.pk for item in child.state.in_hand.waiting()] == ticketed[:1]  # nothing is known of these
    assert broker.pks() == ticketed[1:]
    assert not child.claims.expects_backlog
    finish(child)


def test_tickets_and_share_together_are_no_more_than_start_soon(
    child: Child, broker: MemoryBroker, backlog: list[Job]
) -> None:
    verbs.dispatch()
    expect_backlog(child, backlog[0])
    child.state.prefetch.ran(backlog[0].job_type_id, 0.001)
    for _ in range(30):
        child.state.prefetch.ran("another type", 0.0)
    soon = child.state.fits([backlog[0].job_type_id] * 150)
    assert soon < 100 <= child.slots.room()
    child._take_and_claim()
    assert len(child.state.in_hand.waiting()) <= soon
    finish(child)


def test_a_child_that_comes_back_from_a_long_job_has_the_broker_filled_before_it_waits(
    child: Child, backlog: list[Job], broker: MemoryBroker, tuning: Tuning
) -> None:
    """Another child may take its shares meanwhile, and fill the broker for nobody."""
    object.__setattr__(child.state.options, "burst", False)
    broker.lose_tickets()
    asked: list[int] = []
    clock = Clock()
    tuning.set(claims_clock=clock, test_broker_wait_seconds=0.0)
    with_refill(child, asked.append)
    child._take_and_claim()
    child._take_and_claim()
    assert asked == [3]
    clock.now += verbs.SECOND_LOOK_SECONDS + 1  # nobody looks any more
    child._take_and_claim()
    assert asked == [3, 3]


@pytest.mark.parametrize("look", [verbs.refill, functools.partial(verbs.refill, if_empty=True)])
def test_a_child_is_given_tickets_also_while_those_of_less_urgent_queues_wait_for_others(
    child: Child,
    kind: JobType,
    organization: Organization,
    broker: MemoryBroker,
    look: Any,
) -> None:
    verbs.announce_worker(WORKER, ["jobs-high"], slots=4)
    verbs.announce_worker("busy", ["jobs-low"], slots=4)
    for _ in range(10):
        pending_job(kind, organization, priority="Low")
    for _ in range(10):
        pending_job(kind, organization, priority="High")
    verbs.claim(broker.consumer("sibling").take_now(4).tickets, "sibling")
    object.__setattr__(child.state.options, "queues", ("jobs-high",))
    with_refill(child, look)
    child.claims.before_waiting()
    assert Job.objects.filter(status="Queued", priority=2).exists()


def test_a_small_share_is_left_to_the_dispatcher(child: Child, broker: MemoryBroker, backlog: list[Job]) -> None:
    broker.lose_tickets()
    asked: list[int] = []
    with_refill(child, asked.append)
    make_room(child, backlog[0].job_type_id, verbs.MIN_SHARE - 1)
    expect_backlog(child, backlog[0])
    child._take_and_claim()
    assert (child.state.in_hand.waiting(), child.claims.expects_backlog, len(asked)) == ([], False, 1)


def test_where_others_take_their_shares_for_long_the_child_comes_again(
    child: Child, broker: MemoryBroker, backlog: list[Job], interpose: Interpose
) -> None:
    broker.lose_tickets()
    asked: list[int] = []
    interpose("take_dispatch_lock", lambda _: None)
    with_refill(child, asked.append)
    make_room(child, backlog[0].job_type_id, 50)
    expect_backlog(child, backlog[0])
    child._take_and_claim()
    assert (child.state.in_hand.waiting(), child.claims.expects_backlog, len(asked)) == ([], True, 0)


def test_a_share_whose_answer_got_lost_is_requeued(
    child: Child, backlog: list[Job], broker: MemoryBroker, interpose: Interpose
) -> None:
    broker.lose_tickets()
    take = verbs.take_share

    def lose_answer(*args: Any) -> Any:
        take(*args)
        raise OperationalError("the line is gone")

    interpose("take_share", lose_answer)
    make_room(child, backlog[0].job_type_id, 50)
    expect_backlog(child, backlog[0])
    with pytest.raises(OperationalError):
        child._take_and_claim()
    assert not child.claims.expects_backlog
    lost = list(Job.objects.filter(status="Running").values_list("pk", flat=True))
    assert len(lost) == 50
    assert {pk for pk, _ in child.state.known_attempts()} == set(lost)
    child.claims.resolve_doubts()
    assert set(Job.objects.filter(pk__in=lost).values_list("status", "retry_count")) == {("Queued", 0)}
    assert not child.state.doubts.tickets()


def test_while_workers_are_suspended_no_share_is_taken(child: Child, backlog: list[Job], broker: MemoryBroker) -> None:
    object.__setattr__(child.state.options, "burst", False)
    make_room(child, backlog[0].job_type_id, 50)
    expect_backlog(child, backlog[0])
    broker.is_suspended = True
    child._take_and_claim()
    assert (child.state.in_hand.waiting(), child.claims.expects_backlog) == ([], False)


def test_a_child_that_is_to_stop_takes_no_share(
    child: Child, backlog: list[Job], broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    verbs.dispatch()
    tickets = broker.pks()
    take = child.state.consumer.take_now

    def stop_meanwhile(count: int, done: Any) -> TakenTicket:
        child.state.stop()
        return take(count, done)

    monkeypatch.setattr(child.state.consumer, "take_now", stop_meanwhile)
    make_room(child, backlog[0].job_type_id, 50)
    expect_backlog(child, backlog[0])
    child._take_and_claim()
    assert (child.state.in_hand.waiting(), broker.pks()) == ([], tickets)


def test_a_child_that_may_run_so_many_jobs_takes_no_more(
    child: Child, backlog: list[Job], broker: MemoryBroker
) -> None:
    broker.lose_tickets()
    object.__setattr__(child.state.options, "max_jobs", 20)
    make_room(child, backlog[0].job_type_id, 50)
    expect_backlog(child, backlog[0])
    child.run()
    assert (child.is_recycled, child.state.jobs_run) == (True, 20)


def test_only_queues_that_the_child_serves_give_shares(
    child: Child, kind: JobType, organization: Organization, broker: MemoryBroker
) -> None:
    jobs = [pending_job(kind, organization, priority="Low") for _ in range(40)]
    others = [pending_job(kind, organization, priority="High") for _ in range(40)]
    broker.lose_tickets()
    object.__setattr__(child.state.options, "queues", ("jobs-low",))
    with_refill(child, lambda _: None)
    make_room(child, kind.pk, 30)
    expect_backlog(child, jobs[0])
    child.claims.share(30)
    assert child.state.in_hand.waiting()
    assert {item.pk for item in child.state.in_hand.waiting()} <= {job.pk for job in jobs}
    assert not Job.objects.filter(pk__in=[job.pk for job in others], status="Running").exists()


def test_a_share_is_fair_to_a_small_organization(
    child: Child, backlog: list[Job], broker: MemoryBroker, kind: JobType
) -> None:
    broker.lose_tickets()
    small = make_organization()
    job_in("Completed", job_type=kind, organization=small)
    late = pending_job(kind, small)
    make_room(child, kind.pk, 30)
    expect_backlog(child, backlog[0])
    child.claims.share(30)
    assert late.pk in [item.pk for item in child.state.in_hand.waiting()][:2]


@pytest.mark.parametrize("threads", [1, 10])
def test_after_a_large_set_a_child_expects_a_backlog_whatever_its_slots(
    child: Child, backlog: list[Job], broker: MemoryBroker, threads: int
) -> None:
    object.__setattr__(child.state.options, "threads", threads)
    make_room(child, backlog[0].job_type_id, 50)
    verbs.dispatch()
    child.claims.by_tickets(broker.take_all())
    assert child.claims.expects_backlog
