"""A job that was just submitted: when it goes without the dispatcher's lock and a turn, and when it does not."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_jobs.models import EngineLease, Job, JobType, Organization
from django_jobs.statuses import Priority
from tests.support import verbs
from tests.support.brokers import MemoryBroker, job_in, pending_job, reread, start
from tests.support.clocks import Clock
from tests.support.factories import make_organization
from tests.support.tuning import Tuning


def dispatch_new(job: Job) -> bool:
    """Dispatch the job; return whether it went without the dispatcher's lock."""
    with CaptureQueriesContext(connection) as queries:
        verbs.dispatch_new(job)
    return not any(EngineLease._meta.db_table in query["sql"] for query in queries)


@pytest.fixture
def clock(broker: MemoryBroker, tuning: Tuning) -> Clock:
    """The clock by which the window and a full broker are remembered."""
    clock = Clock()
    tuning.set(window_clock=clock)
    return clock


@pytest.fixture
def _two_in_flight(settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_IN_FLIGHT_PER_ORGANIZATION": 2}


def test_a_job_that_nobody_waits_before_goes_without_a_turn(broker: MemoryBroker, kind: JobType) -> None:
    job = pending_job(kind)
    assert dispatch_new(job)
    assert (reread(job).status, broker.pks()) == ("Queued", [job.pk])


@pytest.mark.parametrize("priority", ["Normal", "High"])
def test_a_job_overtakes_none_that_waits_with_its_priority_or_a_higher_one(
    broker: MemoryBroker, kind: JobType, organization: Organization, priority: str
) -> None:
    earlier, job = pending_job(kind, organization, priority=priority), pending_job(kind, organization)
    assert not dispatch_new(job)
    assert broker.pks() == [earlier.pk, job.pk]


def test_a_job_overtakes_those_that_wait_with_a_lower_priority(
    broker: MemoryBroker, kind: JobType, organization: Organization
) -> None:
    earlier = [pending_job(kind, tenant, priority="Low") for tenant in (organization, make_organization())]
    assert dispatch_new(pending_job(kind, organization))
    assert {reread(job).status for job in earlier} == {"Pending"}


def test_the_last_job_that_the_limit_allows_goes_without_a_turn_if_none_is_more_urgent(
    broker: MemoryBroker, kind: JobType, organization: Organization, settings: Any
) -> None:
    """Where a new job may be stored as Queued at this moment, room is left for that one."""
    limit = 3 if verbs.store().queues_new_jobs else 2
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_IN_FLIGHT_PER_ORGANIZATION": limit}
    job_in("Queued", job_type=kind, organization=organization)
    assert not dispatch_new(pending_job(kind, organization, priority="High"))
    Job.objects.filter(priority=Priority.HIGH).delete()
    assert dispatch_new(pending_job(kind, organization, priority="Critical"))


@pytest.mark.usefixtures("_two_in_flight")
def test_the_very_last_job_that_the_limit_allows_goes_one_way_or_the_other(
    broker: MemoryBroker, kind: JobType, organization: Organization
) -> None:
    job_in("Queued", job_type=kind, organization=organization)
    job = pending_job(kind, organization, priority="Critical")
    assert dispatch_new(job) is not verbs.store().queues_new_jobs
    assert reread(job).status == "Queued"


@pytest.mark.usefixtures("_two_in_flight")
def test_a_job_above_the_limit_waits(broker: MemoryBroker, kind: JobType, organization: Organization) -> None:
    job_in("Queued", job_type=kind, organization=organization)
    start(pending_job(kind, organization))
    job = pending_job(kind, organization, priority="Critical")
    assert not dispatch_new(job)
    assert reread(job).status == "Pending"


@pytest.mark.usefixtures("_two_in_flight")
def test_other_organizations_jobs_do_not_count_for_the_limit(broker: MemoryBroker, kind: JobType) -> None:
    for _ in range(2):
        job_in("Queued", job_type=kind)
    assert dispatch_new(pending_job(kind, priority="Critical"))


@pytest.mark.usefixtures("_two_in_flight")
@pytest.mark.parametrize("priority", ["Normal", "High", "Critical"])
def test_near_its_limit_an_organization_with_less_urgent_jobs_waiting_takes_turns(
    broker: MemoryBroker, kind: JobType, organization: Organization, priority: str
) -> None:
    pending_job(kind, organization, priority="Low")
    job = pending_job(kind, organization, priority=priority)
    assert not dispatch_new(job)
    assert broker.pks()[0] == job.pk


def test_a_job_of_a_paused_type_waits(broker: MemoryBroker, kind: JobType) -> None:
    job = pending_job(kind)
    JobType.objects.filter(pk=kind.pk).update(is_paused=True)
    job.job_type.refresh_from_db()
    dispatch_new(job)
    assert reread(job).status == "Pending"


def test_that_the_broker_was_full_is_forgotten_after_a_moment(
    broker: MemoryBroker, kind: JobType, clock: Clock
) -> None:
    for _ in range(verbs.MIN_WINDOW):
        verbs.dispatch_new(pending_job(kind))
    late = pending_job(kind)
    assert verbs.dispatch_new(late) == 0
    broker.take_all()
    assert verbs.dispatch_new(late) == 0
    clock.now += verbs.FULL_WINDOW_SECONDS
    assert verbs.dispatch_new(late) == 1


def test_that_the_broker_was_full_for_one_priority_says_nothing_of_others(kind: JobType, clock: Clock) -> None:
    for _ in range(verbs.MIN_WINDOW + 1):
        verbs.dispatch_new(pending_job(kind))
    assert verbs.dispatch_new(pending_job(kind, priority="High")) == 1


@pytest.mark.parametrize(
    "limit",
    [
        {"max_running": 1},
        {"max_running_per_organization": 1},
        {"max_starts": 1},
        {"max_starts_per_key": 1},
        {"concurrency_key": "account"},
        {"breaker_failures": 3},
        {"is_paused": True},
    ],
    ids=str,
)
def test_a_job_takes_a_turn_whose_type_got_a_limit_since_it_was_submitted(
    broker: MemoryBroker, kind: JobType, organization: Organization, limit: dict[str, Any]
) -> None:
    start(pending_job(kind, organization))
    job = pending_job(kind, organization)
    JobType.objects.filter(pk=kind.pk).update(**limit)
    assert not dispatch_new(job)
