"""Counting and finding what is in flight from a mark on, as beside a snapshot that is open for long."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

import pytest

from django_jobs.models import Job, JobType, Organization
from django_jobs.statuses import IN_FLIGHT
from tests.support import verbs
from tests.support.brokers import (
    WORKER,
    MemoryBroker,
    end,
    job_in,
    pending_job,
    queue_for,
    queue_up,
    reread,
    returned,
    running_job,
    start,
)
from tests.support.clocks import Clock
from tests.support.tuning import Tuning
from tests.support.verbs import Lane, LeaseRenewer, Loss, OccupiedSlot, StopRequest

HOUR = dt.timedelta(hours=1)


@pytest.fixture(autouse=True)
def clock(broker: MemoryBroker, tuning: Tuning) -> Clock:
    """The clock by which marks are renewed; every whole walk counts as slow, and marks lie in the present."""
    clock = Clock()
    tuning.set(in_flight_clock=clock, in_flight_slow_seconds=-1.0, in_flight_margin_seconds=0)
    return clock


@pytest.fixture
def rest(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole walks that take so long that the next one is far away."""
    count_in_flight = verbs.store().count_in_flight

    def slowly(mark: Any = None, **options: Any) -> Any:
        clock.now += 0 if mark else 1000
        return count_in_flight(mark, **options)

    monkeypatch.setattr(verbs.store(), "count_in_flight", slowly)
    if verbs.store().mark_in_flight() is None:
        pytest.skip("This store needs no marks.")


def counted() -> dict[Any, int]:
    return {pk: total for pk, total in verbs.count_in_flight().by_organization.items() if total}


def truth() -> dict[Any, int]:
    verbs.forget_in_flight()
    return counted()


def age(*jobs: Job) -> None:
    """Let the jobs have been queued an hour ago, before any mark."""
    Job.objects.filter(pk__in=[job.pk for job in jobs]).update(queued_at=jobs[0].created_at - HOUR)


@pytest.mark.usefixtures("rest")
def test_what_was_in_flight_before_the_mark_and_what_was_queued_since_is_counted_once(
    kind: JobType, organization: Organization, clock: Clock
) -> None:
    job_in("Queued", job_type=kind, organization=organization)
    running, _ = running_job(job_type=kind)
    verbs.count_in_flight()
    for step in range(1, 4):
        new = queue_up(pending_job(kind, organization))
        assert counted() == {organization.pk: 1 + step, running.organization_id: 1}
        assert verbs.count_in_flight().queued[queue_for(new.priority)].total() == 1 + step
        clock.now += verbs.IN_FLIGHT_RENEWAL_SECONDS


@pytest.mark.usefixtures("rest")
def test_what_ended_since_the_mark_is_counted_no_more(kind: JobType, organization: Organization) -> None:
    claims = [start(pending_job(kind, organization)) for _ in range(3)]
    verbs.count_in_flight()
    end(returned(claims[0]))
    verbs.requeue([(claims[1].pk, 1)], "again", WORKER)
    assert counted() == {organization.pk: 2}
    assert verbs.count_in_flight().queued[queue_for(1)].total() == 1


@pytest.mark.usefixtures("rest")
def test_a_job_that_appears_before_the_mark_is_counted_by_the_next_whole_walk(clock: Clock) -> None:
    verbs.count_in_flight()
    late = job_in("Queued")
    age(late)
    assert counted() == {}
    clock.now += 1000
    assert counted() == {late.organization_id: 1}


@pytest.mark.usefixtures("rest")
def test_the_next_whole_walk_comes_in_time_for_every_lease(settings: Any, clock: Clock) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "LEASE_SECONDS": 30}
    verbs.count_in_flight(has_lock=False)
    late, _ = running_job()
    age(late)
    assert verbs.leases_held_by(WORKER) == set()
    clock.now += 10
    assert verbs.leases_held_by(WORKER) == {(late.pk, 1)}


@pytest.mark.usefixtures("rest")
def test_an_attempt_that_renewals_overlook_from_a_mark_on_is_not_lost(clock: Clock) -> None:
    """Its move to Queued was committed so late that the mark does not know it."""
    verbs.count_in_flight()
    late, _ = running_job()
    age(late)
    item = OccupiedSlot(0, late.pk, 1, StopRequest.NONE, started=time.monotonic(), timeout=60)
    renewer = LeaseRenewer(lambda: [WORKER])
    renewer.running = [(WORKER, item)]
    for _ in range(2):
        renewer._renew()
    assert not renewer.is_lost(WORKER, item)
    assert renewer.renewals[-1].held == {(late.worker_name, late.pk, 1)}


@pytest.mark.usefixtures("rest")
def test_what_a_mark_does_not_know_is_found_when_its_worker_is_gone() -> None:
    verbs.count_in_flight()
    late, _ = running_job()
    age(late)
    assert verbs.end_lost_worker(Loss(worker_name=WORKER, started=frozenset(), reason="it died"))
    assert reread(late).status == "Queued"


def test_of_types_with_rates_what_runs_is_not_in_hand(kind: JobType) -> None:
    queued, _ = job_in("Queued", job_type=kind), job_in("Running", job_type=kind)
    assert [item.pk for item in verbs.queued_jobs_of([kind.pk])] == [queued.pk]


@pytest.mark.usefixtures("rest")
def test_jobs_of_types_with_limits_are_counted_from_marks_of_the_lock_alone(kind: JobType) -> None:
    verbs.count_in_flight(has_lock=False)
    late = job_in("Queued", job_type=kind)
    age(late)
    assert verbs.count_in_flight().by_lane == {Lane(late.organization_id, kind.pk): 1}
    assert [item.pk for item in verbs.queued_jobs_of([kind.pk])] == [late.pk]
    new, other = queue_up(pending_job(kind)), queue_up(pending_job())
    assert {item.pk for item in verbs.queued_jobs_of([kind.pk])} == {late.pk, new.pk}
    assert {item.pk for item in verbs.queued_jobs_of([kind.pk, other.job_type_id])} == {late.pk, new.pk, other.pk}


def test_what_is_found_from_a_mark_is_what_is_found_without_one(kind: JobType) -> None:
    running, queued = running_job()[0], job_in("Queued", job_type=kind)
    job_in("Completed", job_type=kind)
    verbs.count_in_flight()
    late = queue_up(pending_job(kind))
    rows = Job.primary.filter(status__in=sorted(IN_FLIGHT))
    assert {job.pk for job in verbs.read_in_flight(rows)} == {running.pk, queued.pk, late.pk}
    assert [held.pk for held in verbs.renew_leases([WORKER])] == [running.pk]
    assert verbs.leases_held_by(WORKER) == {(running.pk, 1)}


def test_a_lease_that_ran_out_is_found_from_a_mark(kind: JobType) -> None:
    job, _ = running_job(job_type=kind)
    verbs.count_in_flight()
    Job.objects.filter(pk=job.pk).update(lease_expires_at=job.created_at - HOUR)
    assert verbs.rescue_expired() == 1


def test_the_limit_of_an_organization_is_exact_from_a_mark_on(
    broker: MemoryBroker, kind: JobType, organization: Organization, settings: Any, clock: Clock
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_IN_FLIGHT_PER_ORGANIZATION": 2}
    for _ in range(6):
        pending_job(kind, organization)
    for _ in range(4):
        verbs.dispatch()
        assert Job.objects.filter(status__in=sorted(IN_FLIGHT)).count() == 2
        clock.now += verbs.IN_FLIGHT_RENEWAL_SECONDS
        (claimed,) = verbs.claim(broker.take_all()[:1], WORKER)
        verbs.dispatch()
        assert Job.objects.filter(status__in=sorted(IN_FLIGHT)).count() == 2
        end(returned(claimed))
