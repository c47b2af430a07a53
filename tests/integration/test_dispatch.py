"""From the backlog to the broker: order, room, turns, and who stands aside."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Any

import pytest

from django_jobs.engine import announcements, database, dispatch, patience
from django_jobs.engine.claim import claim
from django_jobs.engine.history import get_job_history
from django_jobs.engine.ports import use_broker
from django_jobs.exceptions import BrokerUnavailable
from django_jobs.models import EngineLease, Job, JobType
from django_jobs.statuses import Priority
from tests.support.brokers import WORKER, MemoryBroker, job_in, pending_job, reread, start, ticket_of
from tests.support.factories import make_job_type, make_organization


@pytest.fixture
def kind() -> JobType:
    return make_job_type()


def widen(window: int) -> None:
    """A worker that wants so many tickets within reach."""
    announcements.announce("wide", ["jobs-normal"], slots=1, window=window)
    dispatch._window = (0.0, dispatch.MIN_WINDOW)


def start_queued(job: Job) -> None:
    assert claim([ticket_of(job)], WORKER)


def test_a_dispatched_job_is_queued_and_has_the_ticket_of_its_next_attempt(broker: MemoryBroker) -> None:
    job = pending_job()
    assert dispatch.dispatch() == 1
    row = reread(job)
    assert (row.status, row.ready_at, row.queued_at is not None) == ("Queued", None, True)
    assert [ticket.id for ticket in broker.tickets] == [f"{job.name}-1"]


def test_nothing_to_do_is_nothing_done(broker: MemoryBroker) -> None:
    assert dispatch.dispatch() == 0


def test_the_more_urgent_go_first(broker: MemoryBroker, kind: JobType) -> None:
    jobs = [pending_job(kind, priority=name) for name in ("Low", "Critical", "Normal", "High")]
    dispatch.dispatch()
    order = [jobs[index].pk for index in (1, 3, 2, 0)]
    assert broker.pks() == order


def test_within_a_priority_the_longest_ready_goes_first(broker: MemoryBroker, kind: JobType) -> None:
    organization = make_organization()
    jobs = [pending_job(kind, organization) for _ in range(3)]
    dispatch.dispatch()
    assert broker.pks() == [job.pk for job in jobs]


def test_only_as_many_go_as_the_window_has_room(broker: MemoryBroker, kind: JobType) -> None:
    organization = make_organization()
    for _ in range(12):
        pending_job(kind, organization)
    assert dispatch.dispatch() == 8
    assert dispatch.wake() == 0
    assert Counter(Job.objects.values_list("status", flat=True)) == {"Queued": 8, "Pending": 4}


def test_the_window_is_what_the_live_workers_ask_for(broker: MemoryBroker, kind: JobType) -> None:
    widen(11)
    for _ in range(12):
        pending_job(kind)
    assert dispatch.dispatch() == 11


def test_tickets_that_were_taken_make_room(broker: MemoryBroker, kind: JobType) -> None:
    jobs = [pending_job(kind) for _ in range(9)]
    dispatch.dispatch()
    broker.take_all()
    start_queued(jobs[0])
    dispatch.dispatch()
    assert broker.pks() == [jobs[8].pk]


def test_low_tickets_do_not_keep_a_critical_job_out(broker: MemoryBroker, kind: JobType) -> None:
    for _ in range(8):
        pending_job(kind, priority="Low")
    dispatch.dispatch()
    critical = pending_job(kind, priority="Critical")
    dispatch.dispatch()
    assert broker.pks()[0] == critical.pk


def test_a_flood_of_one_organization_leaves_the_others_their_turns(broker: MemoryBroker, kind: JobType) -> None:
    flooding, quiet, other = (make_organization() for _ in range(3))
    for _ in range(30):
        pending_job(kind, flooding)
    late = [pending_job(kind, organization) for organization in (quiet, other)]
    dispatch.dispatch()
    assert {job.pk for job in late} < set(broker.pks()[:3])


def test_an_organization_with_a_flood_of_types_gets_no_more_turns(broker: MemoryBroker) -> None:
    flooding, quiet = make_organization(), make_organization()
    for kind in [make_job_type() for _ in range(6)]:
        for _ in range(3):
            pending_job(kind, flooding)
    late = [pending_job(kind, quiet) for _ in range(3)]
    dispatch.dispatch()
    assert {job.pk for job in late} < set(broker.pks())


def test_the_next_turn_is_the_next_organizations(broker: MemoryBroker, kind: JobType) -> None:
    organizations = [make_organization() for _ in range(12)]
    for organization in organizations:
        for _ in range(2):
            pending_job(kind, organization)
    served = []
    for _ in range(2):
        dispatch.dispatch()
        tickets = broker.take_all()
        served += [Job.objects.get(pk=ticket.pk).organization_id for ticket in tickets]
        for ticket in tickets:
            start_queued(Job.objects.get(pk=ticket.pk))
    assert set(served[:12]) == {organization.pk for organization in organizations}


def test_no_organization_has_more_in_flight_than_it_may(broker: MemoryBroker, kind: JobType, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_IN_FLIGHT_PER_ORGANIZATION": 2}
    crowded, other = make_organization(), make_organization()
    start(pending_job(kind, crowded))
    jobs = [pending_job(kind, crowded) for _ in range(3)] + [pending_job(kind, other)]
    dispatch.dispatch()
    assert set(broker.pks()) == {jobs[0].pk, jobs[3].pk}


@pytest.mark.parametrize("fields", [{"is_paused": True}, {"is_enabled": False}])
def test_jobs_of_a_closed_type_wait_while_others_go(
    broker: MemoryBroker, kind: JobType, fields: dict[str, bool]
) -> None:
    organization, closed = make_organization(), make_job_type()
    waiting = pending_job(closed, organization)
    JobType.objects.filter(pk=closed.pk).update(**fields)
    goes = pending_job(kind, organization)
    dispatch.dispatch()
    assert broker.pks() == [goes.pk]
    assert reread(waiting).status == "Pending"


def test_jobs_of_an_inactive_organization_wait_while_others_go(broker: MemoryBroker, kind: JobType) -> None:
    organization = make_organization()
    waiting, goes = pending_job(kind, organization), pending_job(kind)
    organization.is_active = False
    organization.save()
    dispatch.dispatch()
    assert broker.pks() == [goes.pk]
    organization.is_active = True
    organization.save()
    dispatch.dispatch()
    assert reread(waiting).status == "Queued"


def test_jobs_of_an_organization_that_is_gone_take_nobodys_turn(broker: MemoryBroker, kind: JobType) -> None:
    organization = make_organization()
    pending_job(kind, organization)
    organization.delete()
    goes = pending_job(kind)
    dispatch.dispatch()
    assert broker.pks() == [goes.pk]


def test_a_delayed_job_waits_for_its_moment(broker: MemoryBroker) -> None:
    job = pending_job(run_at=database.now() + dt.timedelta(hours=1))
    assert dispatch.dispatch() == 0
    Job.objects.filter(pk=job.pk).update(ready_at=database.now() - dt.timedelta(seconds=1))
    assert dispatch.dispatch() == 1


@pytest.mark.parametrize("status", ["Failed", "Timed Out"])
def test_a_retry_waits_until_it_is_due_and_then_goes_to_the_queue(broker: MemoryBroker, status: str) -> None:
    job = job_in(status)
    assert dispatch.dispatch() == 0
    Job.objects.filter(pk=job.pk).update(ready_at=database.now() - dt.timedelta(seconds=1))
    dispatch.dispatch()
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
    use_broker(PushFails())
    dispatch.push(dispatch._dispatch_once() or [])
    row = reread(job)
    assert (row.status, row.queued_at, row.ready_at is not None) == ("Pending", None, True)
    assert "read only" in get_job_history(job)[-1]["message"]
    use_broker(broker)
    assert dispatch.dispatch() == 1
    assert broker.pks() == [job.pk]


def test_dispatching_ends_while_the_broker_takes_no_tickets(broker: MemoryBroker) -> None:
    job = pending_job()
    use_broker(PushFails())
    dispatch.wake()
    assert reread(job).status == "Pending"


def test_waking_does_nothing_while_the_broker_is_down(broker: MemoryBroker) -> None:
    job = pending_job()
    broker.is_down = True
    assert dispatch.wake() == 0
    assert reread(job).status == "Pending"
    broker.is_down = False
    assert dispatch.wake() == 1


def test_a_withdrawn_job_waits_for_its_delay(broker: MemoryBroker) -> None:
    job = job_in("Queued")
    dispatch.withdraw([job.pk], "not now", delay=60)
    assert reread(job).status == "Pending"
    assert dispatch.dispatch() == 0


def test_a_lost_cursor_only_starts_the_round_again(broker: MemoryBroker) -> None:
    for _ in range(2):  # of two organizations; one alone needs no turns
        pending_job()
    dispatch.dispatch()
    assert EngineLease.objects.get(pk="dispatcher").state
    EngineLease.objects.filter(pk="dispatcher").delete()
    pending_job()
    assert dispatch.dispatch() == 1


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
    use_broker(rung)
    first = pending_job()
    assert dispatch.dispatch() == 2
    assert rung.late is not None
    assert rung.pks() == [first.pk, rung.late.pk]


def test_a_worker_that_took_tickets_gets_new_ones_only_in_sets(broker: MemoryBroker, kind: JobType) -> None:
    jobs = [pending_job(kind) for _ in range(9)]
    dispatch.dispatch()
    refilled = []
    for job in jobs[:5]:
        refilled.append(dispatch.refill(Priority.NORMAL))
        start_queued(job)
        broker.queues[1].popleft()
    assert refilled == [0, 0, 0, 0, 0]
    assert dispatch.refill(Priority.NORMAL) == 1


class Clock:
    """Stands still between the broker's answers."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class SlowBroker(MemoryBroker):
    """Answers, but after a while."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        super().__init__()
        self.clock = clock
        self.seconds = seconds

    def _reach(self) -> None:
        super()._reach()
        self.clock.now += self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(patience, "time", clock)
    monkeypatch.setattr(patience, "_rests_until", 0.0)
    return clock


def test_many_submissions_wait_for_a_slow_broker_once_a_second(clock: Clock, kind: JobType) -> None:
    use_broker(SlowBroker(clock, 0.9))
    for job in [pending_job(kind) for _ in range(50)]:
        dispatch.submitted(job)
        dispatch.wake()
    assert clock.now == 1000.9
    assert not Job.objects.exclude(status="Pending").exists()


def test_the_scheduler_has_time_for_a_slow_broker(clock: Clock) -> None:
    use_broker(SlowBroker(clock, 0.9))
    job = pending_job()
    dispatch.submitted(job)
    assert dispatch.tend() == 1
    assert reread(job).status == "Queued"


def test_a_broker_that_is_fast_again_gets_tickets_after_a_second(clock: Clock) -> None:
    broker = SlowBroker(clock, 0.9)
    use_broker(broker)
    job = pending_job()
    dispatch.wake()
    broker.seconds = 0.0
    clock.now += 1.1
    assert dispatch.submitted(job) == 1


def test_a_broker_that_becomes_slow_while_it_is_pushed_to_is_asked_no_more(clock: Clock) -> None:
    use_broker(SlowBroker(clock, 0.2))
    assert dispatch.submitted(pending_job()) == 1
    pending_job()
    pending_job()
    before = clock.now
    assert dispatch.wake() == 2
    assert clock.now - before < 0.5
