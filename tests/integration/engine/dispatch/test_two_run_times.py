"""A tenant's first job starts within two run times of a slot, whatever ran before: slots, in a time of the test's own.

Further down: what a window holds, and what is called back from it.
"""

from __future__ import annotations

import itertools
import random
from collections import deque
from collections.abc import Sequence
from typing import Final

import pytest

from django_jobs import get_job_history
from django_jobs.models import Job, JobType, Organization
from django_jobs.statuses import Priority
from tests.support import verbs
from tests.support.brokers import (
    ALL_QUEUES,
    WORKER,
    MemoryBroker,
    pending_job,
    pending_jobs,
    queue_for,
    queue_up,
    reread,
    returned,
    ticket_of,
)
from tests.support.cases import rolled_back
from tests.support.clocks import Clock
from tests.support.factories import make_job_type, make_organization
from tests.support.tuning import Tuning
from tests.support.verbs import LARGE_AHEAD_SECONDS, REQUEUE_SECONDS, Claimed, PrefetchEstimator

#: What a job may wait beside run times: behind what is claimed ahead, and until a worker tells that it wants less.
MARGIN: Final = LARGE_AHEAD_SECONDS + REQUEUE_SECONDS
NEVER: Final = 1e9


class Slot:
    """A child with one slot, which does what a child does, and whose handlers take as long as the test says."""

    def __init__(self, number: int, broker: MemoryBroker) -> None:
        self.name = f"child-{number}"
        #: When its handler ends; NEVER where it waits for tickets.
        self.until = NEVER
        self._estimator = PrefetchEstimator()
        self._consumer = broker.consumer(self.name)
        self._runs: tuple[Claimed, float] | None = None
        self._waiting: deque[Claimed] = deque()
        self._announce()

    def _announce(self) -> None:
        quick = self._estimator.quick_types(1)
        verbs.announce_worker(self.name, ALL_QUEUES, slots=1, quick_types=quick)

    def go_on(self, now: float, seconds: dict[int, float]) -> int | None:
        """End what ran, and begin the next job if there is one; return its key."""
        if self._runs is not None:
            claimed, took = self._runs
            verbs.settle([returned(claimed)], self.name)
            self._estimator.ran(claimed.job_type, took)
            self._announce()
            self._runs = None
        if not self._waiting:
            tickets = self._consumer.take_now(self._estimator.set_size()).tickets
            self._waiting.extend(verbs.claim(tickets, self.name, self._estimator.fits) if tickets else ())
        verbs.dispatch_patiently()
        if not self._waiting:
            self.until = NEVER
            return None
        begun = self._waiting.popleft()
        self._runs = begun, seconds[begun.pk]
        self.until = now + seconds[begun.pk]
        is_overdue = self._estimator.wait_too_long([item.job_type for item in self._waiting])
        if is_overdue or (seconds[begun.pk] > REQUEUE_SECONDS and self._waiting):
            verbs.requeue_attempts([(item.pk, item.attempt) for item in self._waiting], "it waited", self.name)
            self._waiting.clear()
        return begun.pk


class Shop:
    """Slots, and for how long each job takes one."""

    def __init__(self, slots: int, broker: MemoryBroker, clock: Clock) -> None:
        self._clock = clock
        self._seconds: dict[int, float] = {}
        self._slots = [Slot(number, broker) for number in range(slots)]

    def submit(self, kind: JobType, organization: Organization, seconds: Sequence[float], *, is_bulk: bool) -> Job:
        """Submit jobs that take so long each; return the last."""
        if is_bulk:
            jobs = pending_jobs(kind, organization, len(seconds))
            verbs.wake()
        else:
            jobs = [pending_job(kind, organization) for _ in seconds]
            for job in jobs:
                verbs.dispatch_new(job)
        self._seconds |= {job.pk: took for job, took in zip(jobs, seconds, strict=True)}
        self._wake()
        return jobs[-1]

    def run(self, until: float = NEVER, job: Job | None = None) -> None:
        """Let time pass until this moment, or until the job begins or nothing is left to do."""
        while (slot := min(self._slots, key=lambda slot: slot.until)).until < until:
            self._clock.now = slot.until
            begun = slot.go_on(self._clock.now, self._seconds)
            if job is not None and begun == job.pk:
                return
            if begun is not None:
                self._wake()
        self._clock.now = until if until < NEVER else self._clock.now

    def _wake(self) -> None:
        """Let slots that wait for tickets look for some."""
        for slot in self._slots:
            slot.until = self._clock.now if slot.until == NEVER else slot.until


@pytest.fixture
def clock(tuning: Tuning) -> Clock:
    clock = Clock()
    tuning.set(window_clock=clock)
    return clock


@pytest.mark.slow
@pytest.mark.parametrize("slots", [1, 4])
@pytest.mark.parametrize("is_bulk", [True, False], ids=["bulk", "single"])
def test_beside_another_tenants_jobs_a_first_job_waits_for_two_run_times_of_a_slot_at_most(
    slots: int, is_bulk: bool, broker: MemoryBroker, clock: Clock, subtests: pytest.Subtests
) -> None:
    chance = random.Random(slots)
    mixes = [(0.001,), (0.05,), (2.0,), (60.0,), (0.001, 0.05, 2.0, 60.0)]
    for before, after in itertools.product(("nothing", "the same type", "another type"), mixes):
        with rolled_back(subtests, before=before, after=after):
            broker.lose_tickets()
            broker.marker = None
            shop = Shop(slots, broker, clock)
            kind, quick, large, small = make_job_type(), make_job_type(), make_organization(), make_organization()
            if before != "nothing":
                shop.submit(kind if before == "the same type" else quick, large, [0.001] * 20, is_bulk=True)
                shop.run()
            seconds = [chance.choice(after) for _ in range(24)]
            shop.submit(kind, large, seconds, is_bulk=is_bulk)
            shop.run(clock.now + chance.random() * 2 * max(seconds))
            came = clock.now
            shop.run(job=shop.submit(chance.choice((kind, quick)), small, [0.001], is_bulk=False))
            assert clock.now - came <= 2 * max(seconds) + MARGIN


def announce(slots: int, **quick_types: int) -> None:
    verbs.announce_worker("worker", ALL_QUEUES, slots=slots, quick_types=quick_types)


def queued(kind: JobType) -> int:
    return Job.objects.filter(job_type=kind, status="Queued").count()


def test_of_slow_jobs_one_a_slot_is_queued_though_those_of_another_type_are_quick(broker: MemoryBroker) -> None:
    quick, slow, unknown = (make_job_type(type_name=name) for name in ("quick", "slow", "unknown"))
    announce(2, quick=40)
    large = make_organization()
    for kind, most in ((slow, 2), (unknown, 2), (quick, 40)):
        jobs = pending_jobs(kind, large, 50)
        verbs.dispatch()
        assert queued(kind) == most
        Job.objects.filter(pk__in=[job.pk for job in jobs]).update(status="Canceled", ready_at=None)
        broker.lose_tickets()


def test_a_window_is_shared_by_quick_jobs_and_slow_ones(broker: MemoryBroker) -> None:
    quick, slow = make_job_type(type_name="quick"), make_job_type(type_name="slow")
    announce(2, quick=40)
    large = make_organization()
    (first, *_) = pending_jobs(slow, large, 1)
    pending_jobs(quick, large, 50)
    verbs.dispatch()
    assert (reread(first).status, queued(quick)) == ("Queued", 20)


def test_in_a_window_that_is_full_of_slow_jobs_there_is_no_room_for_a_quick_one(broker: MemoryBroker) -> None:
    quick, slow = make_job_type(type_name="quick"), make_job_type(type_name="slow")
    announce(2, quick=40)
    (first, *_) = pending_jobs(slow, make_organization(), 5)
    verbs.dispatch()
    job = pending_job(quick, first.organization)
    verbs.dispatch_new(job)
    assert reread(job).status == "Pending"


def test_urgent_tickets_that_have_room_are_not_too_many_for_a_queue_with_fewer_slots(broker: MemoryBroker) -> None:
    announce(1)
    critical = queue_for(Priority.CRITICAL)
    verbs.announce_worker("urgent", ["jobs-critical"], slots=3)
    kind, organization = make_job_type(), make_organization()
    for _ in range(6):
        pending_job(kind, organization, priority=Priority.CRITICAL)
    verbs.dispatch()
    assert broker.depths()[critical] == 4
    assert not verbs.read_window().has_room(Priority.CRITICAL, 0.5, broker.depths())


@pytest.fixture
def overlong(broker: MemoryBroker) -> list[Job]:
    """Jobs of one organization that were queued when they seemed to be quick."""
    announce(1, kind=30)
    jobs = pending_jobs(make_job_type(type_name="kind"), make_organization(), 40)
    verbs.dispatch()
    assert broker.pks() == [job.pk for job in jobs[:30]]
    announce(1)
    return jobs


def test_tickets_behind_a_long_queue_are_called_back_when_another_tenant_comes(
    broker: MemoryBroker, overlong: list[Job]
) -> None:
    again = verbs.now()  # a retry waits since it was queued
    Job.objects.filter(pk=overlong[3].pk).update(attempt=1, queued_at=again)
    job = pending_job(overlong[0].job_type)
    verbs.dispatch_new(job)
    assert broker.pks() == [job.pk]
    assert reread(overlong[3]).ready_at == again
    assert Job.objects.filter(status="Pending").count() == len(overlong)
    assert [entry["to_status"] for entry in get_job_history(overlong[0])] == ["Pending", "Queued", "Pending"]


def test_and_when_the_others_job_is_queued_behind_them_already(broker: MemoryBroker, overlong: list[Job]) -> None:
    announce(1, kind=40)
    job = pending_job(overlong[0].job_type)
    queue_up(job)
    broker.push([ticket_of(job)])
    Job.objects.filter(status="Pending").update(status="Canceled", ready_at=None)
    announce(1)
    verbs.dispatch_patiently()
    assert broker.pks() == [job.pk]


def test_what_was_called_back_has_its_place_in_its_lane_again(broker: MemoryBroker, overlong: list[Job]) -> None:
    pending_job(overlong[0].job_type)
    verbs.dispatch()
    order = []
    while (ticket := broker.take()) is not None:
        order += [claimed.pk for claimed in verbs.claim([ticket], WORKER)]
        verbs.dispatch()
    assert [pk for pk in order if pk <= overlong[-1].pk] == [job.pk for job in overlong]


def test_where_nobody_else_waits_tickets_stay_and_so_do_as_many_as_there_are_slots(
    broker: MemoryBroker, overlong: list[Job]
) -> None:
    tickets = broker.pks()
    verbs.dispatch()
    assert broker.pks() == tickets
    announce(30)
    pending_job(overlong[0].job_type)
    verbs.dispatch()
    assert broker.pks() == tickets


def test_what_is_more_urgent_stays_where_it_is(broker: MemoryBroker, overlong: list[Job]) -> None:
    job = pending_job(overlong[0].job_type, priority="Low")
    verbs.dispatch_new(job)
    assert (len(broker.pks()), reread(job).status) == (30, "Pending")


def test_the_ticket_of_a_job_that_others_hold_takes_no_room_in_any_process(broker: MemoryBroker) -> None:
    announce(1)
    kind = make_job_type()
    (held, other) = pending_jobs(kind, make_organization(), 2)
    verbs.dispatch()
    verbs.note_held_jobs([held.pk], 30.0)
    verbs.dispatch()
    assert [reread(job).status for job in (held, other)] == ["Queued", "Queued"]
    verbs.claim([ticket_of(other)], WORKER)
    verbs.forget_held_jobs()  # another process found it
    (late,) = pending_jobs(kind, make_organization(), 1)
    verbs.dispatch()
    assert reread(late).status == "Queued"


def test_a_job_that_was_held_and_runs_by_now_makes_no_room(broker: MemoryBroker) -> None:
    announce(1)
    jobs = pending_jobs(make_job_type(), make_organization(), 3)
    verbs.dispatch()
    verbs.note_held_jobs([jobs[0].pk], 30.0)
    verbs.claim([ticket_of(jobs[0])], WORKER)
    for _ in range(2):
        verbs.dispatch()
    assert [reread(job).status for job in jobs] == ["Running", "Queued", "Pending"]


def test_a_job_that_was_found_to_be_held_long_ago_takes_room_again(broker: MemoryBroker) -> None:
    announce(1)
    (held, other) = pending_jobs(make_job_type(), make_organization(), 2)
    verbs.dispatch()
    verbs.note_held_jobs([held.pk], -1.0)
    verbs.dispatch()
    assert reread(other).status == "Pending"
