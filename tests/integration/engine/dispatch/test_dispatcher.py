"""From the backlog to the broker: order, room, moments, and brokers that take nothing."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Any

import pytest

from django_jobs import get_job_history
from django_jobs.exceptions import BrokerUnavailable
from django_jobs.models import Job, JobType
from django_jobs.statuses import Priority
from tests.support import verbs
from tests.support.brokers import ALL_QUEUES, WORKER, MemoryBroker, job_in, pending_job, queue_for, reread, ticket_of
from tests.support.factories import make_organization


def widen(size: int, *queues: str, name: str = "wide") -> None:
    """A worker, of all queues if none is said, that wants so many tickets within reach."""
    verbs.announce_worker(name, queues or ALL_QUEUES, slots=size)


def start_queued(job: Job) -> None:
    assert verbs.claim([ticket_of(job)], WORKER)


def test_a_dispatched_job_is_queued_and_has_the_ticket_of_its_next_attempt(broker: MemoryBroker) -> None:
    job = pending_job()
    assert verbs.dispatch() == 1
    row = reread(job)
    assert (row.status, row.ready_at, row.queued_at is not None) == ("Queued", None, True)
    assert [ticket.id for ticket in broker.tickets] == [f"{job.name}-1"]


def test_nothing_to_do_is_nothing_done(broker: MemoryBroker) -> None:
    assert verbs.dispatch() == 0


def test_the_more_urgent_go_first(broker: MemoryBroker, kind: JobType) -> None:
    jobs = [pending_job(kind, priority=name) for name in ("Low", "Critical", "Normal", "High")]
    verbs.dispatch()
    order = [jobs[index].pk for index in (1, 3, 2, 0)]
    assert broker.pks() == order


def test_within_a_priority_the_longest_ready_goes_first(broker: MemoryBroker, kind: JobType) -> None:
    organization = make_organization()
    jobs = [pending_job(kind, organization) for _ in range(3)]
    verbs.dispatch()
    assert broker.pks() == [job.pk for job in jobs]


def test_only_as_many_go_as_the_window_has_room(broker: MemoryBroker, kind: JobType) -> None:
    organization = make_organization()
    for _ in range(12):
        pending_job(kind, organization)
    assert verbs.dispatch() == 8
    assert verbs.wake() == 0
    assert Counter(Job.objects.values_list("status", flat=True)) == {"Queued": 8, "Pending": 4}


def test_the_window_is_what_the_live_workers_ask_for(broker: MemoryBroker, kind: JobType) -> None:
    widen(11)
    for _ in range(12):
        pending_job(kind)
    assert verbs.dispatch() == 11


def test_tickets_that_were_taken_make_room(broker: MemoryBroker, kind: JobType) -> None:
    jobs = [pending_job(kind) for _ in range(9)]
    verbs.dispatch()
    broker.take_all()
    start_queued(jobs[0])
    verbs.dispatch()
    assert broker.pks() == [jobs[8].pk]


def test_low_tickets_do_not_keep_a_critical_job_out(broker: MemoryBroker, kind: JobType) -> None:
    for _ in range(8):
        pending_job(kind, priority="Low")
    verbs.dispatch()
    critical = pending_job(kind, priority="Critical")
    verbs.dispatch()
    assert broker.pks()[0] == critical.pk


def test_a_delayed_job_waits_for_its_moment(broker: MemoryBroker) -> None:
    job = pending_job(run_at=verbs.now() + dt.timedelta(hours=1))
    assert verbs.dispatch() == 0
    Job.objects.filter(pk=job.pk).update(ready_at=verbs.now() - dt.timedelta(seconds=1))
    assert verbs.dispatch() == 1


@pytest.mark.parametrize("status", ["Failed", "Timed Out"])
def test_a_retry_waits_until_it_is_due_and_then_goes_to_the_queue(broker: MemoryBroker, status: str) -> None:
    job = job_in(status)
    assert verbs.dispatch() == 0
    Job.objects.filter(pk=job.pk).update(ready_at=verbs.now() - dt.timedelta(seconds=1))
    verbs.dispatch()
    assert (reread(job).status, reread(job).next_retry_at) == ("Queued", None)
    assert [ticket.id for ticket in broker.tickets] == [f"{job.name}-2"]
    assert [entry["from_status"] for entry in get_job_history(job)][-1] == status


class PushFails(MemoryBroker):
    """Answers questions, but takes no tickets: a Redis that is read-only or full."""

    pushes = 0

    def push(self, *args: Any, **kwargs: Any) -> None:
        self.pushes += 1
        if self.pushes > 20:
            raise AssertionError("The engine pushes without end.")
        raise BrokerUnavailable("read only")


def test_what_the_broker_cannot_take_goes_back_and_is_dispatched_later(broker: MemoryBroker) -> None:
    job = pending_job()
    verbs.use_broker(PushFails())
    queued = verbs.fill_window()
    assert queued is not None
    verbs.push_tickets(queued.moved)
    row = reread(job)
    assert (row.status, row.queued_at, row.ready_at is not None) == ("Pending", None, True)
    assert "read only" in get_job_history(job)[-1]["message"]
    verbs.use_broker(broker)
    assert verbs.dispatch() == 1
    assert broker.pks() == [job.pk]


def test_dispatching_ends_while_the_broker_takes_no_tickets(broker: MemoryBroker) -> None:
    job = pending_job()
    verbs.use_broker(PushFails())
    verbs.wake()
    assert reread(job).status == "Pending"


def test_waking_does_nothing_while_the_broker_is_down(broker: MemoryBroker) -> None:
    job = pending_job()
    broker.is_down = True
    assert verbs.wake() == 0
    assert reread(job).status == "Pending"
    broker.is_down = False
    assert verbs.wake() == 1


def test_a_withdrawn_job_waits_for_its_delay(broker: MemoryBroker) -> None:
    job = job_in("Queued")
    verbs.unqueue([job.pk], "not now", delay=60)
    assert reread(job).status == "Pending"
    assert verbs.dispatch() == 0


class RungOnce(MemoryBroker):
    """Somebody submits and rings between the dispatcher's commit and its next look."""

    late: Job | None = None

    def push(self, *args: Any, **kwargs: Any) -> None:
        super().push(*args, **kwargs)
        if self.late is None:
            self.late = pending_job()
            self.ring()


def test_what_is_committed_while_another_dispatches_is_not_overlooked(broker: MemoryBroker) -> None:
    rung = RungOnce()
    verbs.use_broker(rung)
    first = pending_job()
    assert verbs.dispatch() == 2
    assert rung.late is not None
    assert rung.pks() == [first.pk, rung.late.pk]


def test_who_submits_makes_one_pass_and_works_for_nobody_who_rings_meanwhile(broker: MemoryBroker) -> None:
    rung = RungOnce()
    verbs.use_broker(rung)
    first = pending_job()
    assert verbs.wake() == 1
    assert rung.pks() == [first.pk]


def test_a_worker_that_took_tickets_gets_new_ones_only_in_sets(broker: MemoryBroker, kind: JobType) -> None:
    jobs = [pending_job(kind) for _ in range(9)]
    verbs.dispatch()
    refilled = []
    for job in jobs[:5]:
        refilled.append(verbs.refill(Priority.NORMAL))
        start_queued(job)
        broker.queues[queue_for(Priority.NORMAL)].popleft()
    assert refilled == [0, 0, 0, 0, 0]
    assert verbs.refill(Priority.NORMAL) == 1


def test_a_worker_that_looks_a_second_time_gets_tickets_if_the_broker_has_none(
    broker: MemoryBroker, kind: JobType
) -> None:
    first = pending_job(kind)
    assert verbs.refill(Priority.NORMAL, if_empty=True) == 1
    pending_job(kind)
    assert verbs.refill(Priority.NORMAL, if_empty=True) == 0
    broker.take_all()
    start_queued(first)
    assert verbs.refill(Priority.NORMAL, if_empty=True) == 1


def test_workers_of_some_queues_do_not_take_up_the_room_of_those_of_others(broker: MemoryBroker, kind: JobType) -> None:
    widen(8, "jobs-critical", name="urgent")
    widen(8, "jobs-low", name="patient")
    for _ in range(16):
        pending_job(kind, priority=Priority.CRITICAL)
    patient = [pending_job(kind, priority=Priority.LOW) for _ in range(3)]

    assert verbs.dispatch_patiently() == 8 + len(patient)

    assert {reread(job).status for job in patient} == {"Queued"}
    later = pending_job(kind, priority=Priority.LOW)
    assert verbs.wake() == 1  # a long row of urgent ones is at the broker
    assert reread(later).status == "Queued"
    last = pending_job(kind, priority=Priority.LOW)
    assert verbs.wake() == 1
    assert reread(last).status == "Queued"


def test_a_worker_of_several_queues_holds_room_for_what_it_takes_first(broker: MemoryBroker, kind: JobType) -> None:
    widen(4, "jobs-high", "jobs-low")
    for _ in range(6):
        pending_job(kind, priority=Priority.HIGH)
    low = pending_job(kind, priority=Priority.LOW)
    assert verbs.dispatch_patiently() == 4
    assert reread(low).status == "Pending"


def test_a_priority_that_nobody_serves_gets_a_small_window_of_its_own(broker: MemoryBroker, kind: JobType) -> None:
    widen(100, "jobs-high")
    for _ in range(2 * verbs.MIN_WINDOW):
        pending_job(kind, priority=Priority.LOW)
    assert verbs.dispatch_patiently() == verbs.MIN_WINDOW


def test_no_more_lies_at_the_broker_than_two_slow_workers_ask_for(broker: MemoryBroker, kind: JobType) -> None:
    for name in ("first", "second"):
        widen(1, name=name)
    flooding, other = make_organization(), make_organization()
    for _ in range(10):
        pending_job(kind, flooding)
    assert verbs.dispatch_patiently() == 2
    late = pending_job(kind, other)
    for ticket in broker.take_all():
        start_queued(Job.objects.get(pk=ticket.pk))
    verbs.refill(Priority.NORMAL)
    assert late.pk in broker.pks()
