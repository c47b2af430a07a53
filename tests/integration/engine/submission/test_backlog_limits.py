"""How many jobs of an organization may wait, and what it is told when those are too many."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from django_jobs import retry_job, submit_job, submit_jobs
from django_jobs.exceptions import QueueFull
from django_jobs.models import Job, JobType, Organization
from tests.support.brokers import end, job_in, queue_up, raised, start
from tests.support.cases import rolled_back
from tests.support.factories import make_job_type, make_organization

pytestmark = pytest.mark.usefixtures("broker")


def items(kind: JobType, organization: Organization, count: int) -> list[dict[str, Any]]:
    return [{"job_type": kind, "organization": organization}] * count


@pytest.fixture
def _three_may_wait(settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_BACKLOG_PER_ORGANIZATION": 3}


@pytest.fixture
def kind(_three_may_wait: None) -> JobType:
    return make_job_type()


def queue_full(kind: JobType, organization: Organization) -> QueueFull:
    with pytest.raises(QueueFull) as caught:
        submit_job(kind, organization)
    return caught.value


def test_a_backlog_takes_no_more_than_its_limit(kind: JobType, organization: Organization) -> None:
    submit_jobs(items(kind, organization, 3))
    error = queue_full(kind, organization)
    assert error.retry_after > 0
    assert error.facts == {"limit": 3}
    assert Job.objects.count() == 3


def test_jobs_that_wait_for_parents_are_backlog(kind: JobType, organization: Organization) -> None:
    parent = submit_job(kind, organization)
    submit_job(kind, organization, depends_on=parent)
    submit_job(kind, organization, depends_on=parent)
    queue_full(kind, organization)


def test_jobs_that_wait_for_their_moment_or_a_retry_are_backlog(kind: JobType, organization: Organization) -> None:
    submit_job(kind, organization, run_at=dt.datetime(2100, 1, 1, tzinfo=dt.UTC))
    job_in("Failed", job_type=kind, organization=organization)
    job_in("Timed Out", job_type=kind, organization=organization)
    queue_full(kind, organization)


def test_jobs_at_the_broker_or_with_a_worker_or_ended_are_no_backlog(
    subtests: pytest.Subtests, kind: JobType, organization: Organization
) -> None:
    for status in ("Queued", "Running", "Completed", "Canceled", "Dead Letter"):
        with rolled_back(subtests, status=status):
            for _ in range(3):
                job_in(status, job_type=kind, organization=organization)
            assert submit_job(kind, organization).pk


def test_a_job_that_is_dispatched_makes_room(kind: JobType, organization: Organization) -> None:
    first, *_ = submit_jobs(items(kind, organization, 3))
    queue_up(first)
    assert submit_job(kind, organization).pk
    queue_full(kind, organization)


def test_all_types_and_priorities_of_an_organization_share_its_backlog(
    kind: JobType, organization: Organization
) -> None:
    for priority in ("Low", "High", "Critical"):
        submit_job(make_job_type(), organization, priority=priority)
    queue_full(kind, organization)


def test_another_organizations_backlog_does_not_count(kind: JobType, organization: Organization) -> None:
    submit_jobs(items(kind, organization, 3))
    assert submit_job(kind, make_organization()).pk


def test_many_at_once_fill_the_backlog_together(kind: JobType, organization: Organization) -> None:
    other = make_organization()
    with pytest.raises(QueueFull) as caught:
        submit_jobs(items(kind, other, 3) + items(kind, organization, 4))
    assert caught.value.index == 3
    assert not Job.objects.exists()
    assert len(submit_jobs(items(kind, other, 3) + items(kind, organization, 3))) == 6


def test_a_backlog_of_zero_takes_nothing(kind: JobType, organization: Organization, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_BACKLOG_PER_ORGANIZATION": 0}
    queue_full(kind, organization)


def test_by_default_a_backlog_has_no_end(organization: Organization) -> None:
    assert len(submit_jobs(items(make_job_type(), organization, 50))) == 50


def test_a_retry_by_hand_is_no_submission(kind: JobType, organization: Organization) -> None:
    dead = job_in("Dead Letter", job_type=kind, organization=organization)
    submit_jobs(items(kind, organization, 3))
    assert retry_job(dead).status == "Pending"


def test_a_job_that_failed_for_now_and_one_that_failed_for_good_count_differently(
    kind: JobType, organization: Organization
) -> None:
    first, second, _ = submit_jobs(items(kind, organization, 3))
    end(raised(start(first)))
    queue_full(kind, organization)
    end(raised(start(second), "Permanent"))
    assert submit_job(kind, organization).pk
