"""Counts and times of many jobs: bounded, and for the rest what the roll-ups tell."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from django_jobs import get_job_metrics
from django_jobs.models import Job, JobType, OrganizationActivity, Span, TypeActivity
from tests.support import verbs
from tests.support.brokers import job_in, pending_job
from tests.support.factories import make_job_type, make_organization
from tests.support.runs import ran_for
from tests.support.tuning import Tuning

pytestmark = pytest.mark.usefixtures("broker")

NOTHING = {"average_seconds": None, "p95_seconds": None}


def activity_of(job: Job, span: Span = Span.MINUTE, ago: float = 120, **measures: Any) -> None:
    """What the scheduler would have kept of the job's type and organization, from so many seconds ago."""
    fields: dict[str, Any] = {"span": span, "starts_at": verbs.now() - dt.timedelta(seconds=ago), **measures}
    TypeActivity.objects.create(job_type=job.job_type_id, **fields)
    OrganizationActivity.objects.create(job_type=job.job_type_id, organization_id=job.organization_id, **fields)


@pytest.fixture
def many(tuning: Tuning) -> Job:
    """One of so many jobs that they are not all looked at."""
    job = ran_for(1)
    ran_for(1, job.job_type, organization=job.organization)
    tuning.set(metrics_counted_jobs=1)
    return job


@pytest.mark.parametrize("scoped", [False, True])
def test_of_many_jobs_the_roll_ups_tell_how_they_ran(scoped: bool, many: Job) -> None:
    measures: dict[str, Any] = {"completed": 3, "died": 1, "run_seconds": 30.0, "run_histogram": {"9": 2, "11": 1}}
    activity_of(many, **measures)
    found = get_job_metrics(many.organization if scoped else None)
    times = {"average_seconds": 10.0, "p95_seconds": 12.589254}
    assert found["processing_time"] == times
    assert found["processing_time_by_type"] == {many.job_type_id: times}
    assert found["failure_rate_by_type"] == {many.job_type_id: 0.25}
    assert found["throughput_per_minute"] == pytest.approx(3 / 60, rel=0.02)


def test_a_type_of_which_none_completed_has_no_times(many: Job) -> None:
    activity_of(many, died=2)
    found = get_job_metrics()
    assert (found["processing_time"], found["processing_time_by_type"]) == (NOTHING, {})
    assert found["failure_rate_by_type"] == {many.job_type_id: 1.0}


def test_roll_ups_of_more_than_an_hour_ago_are_past(many: Job) -> None:
    activity_of(many, ago=3_661, completed=3, run_seconds=30.0, run_histogram={"10": 3})
    found = get_job_metrics()
    assert (found["processing_time"], found["throughput_per_minute"]) == (NOTHING, 0)


@pytest.mark.parametrize("scoped", [False, True])
def test_of_many_jobs_the_roll_ups_tell_how_many_ended_within_the_retention(scoped: bool, many: Job) -> None:
    activity_of(many, Span.DAY, completed=30_000, canceled=2)
    activity_of(many, Span.DAY, ago=31 * 86_400, completed=10**6)
    found = get_job_metrics(many.organization if scoped else None)["job_count_by_status"]
    assert (found["Completed"], found["Canceled"]) == (30_000, 2)


def test_of_many_jobs_those_of_a_type_with_its_own_days_are_counted_for_as_long_as_it_keeps_them(many: Job) -> None:
    activity_of(many, Span.DAY, ago=2 * 86_400, completed=1)
    activity_of(many, Span.DAY, ago=20 * 86_400, completed=10)
    activity_of(many, Span.DAY, ago=200 * 86_400, completed=100)
    found = []
    for days in (None, 7, 365):
        JobType.objects.filter(pk=many.job_type_id).update(retention_days=days)
        found.append(get_job_metrics()["job_count_by_status"]["Completed"])
    assert found == [11, 1, 111]


def test_of_many_jobs_those_that_died_or_wait_for_others_are_counted_up_to_a_bound(many: Job) -> None:
    parent = job_in("Running", job_type=many.job_type, organization=many.organization)
    for _ in range(2):
        pending_job(many.job_type, many.organization, depends_on=parent)
        job_in("Dead Letter", job_type=many.job_type, organization=many.organization)
    found = get_job_metrics()["job_count_by_status"]
    assert (found["Pending"], found["Dead Letter"], found["Running"]) == (1, 1, 1)


def test_of_many_jobs_those_that_wait_for_a_retry_are_no_pending_ones(many: Job, tuning: Tuning) -> None:
    for status in ("Failed", "Timed Out", "Pending"):
        job_in(status, job_type=many.job_type, organization=many.organization, priority="High")
    pending_job(many.job_type, many.organization, priority="Low")
    tuning.set(metrics_counted_jobs=3)
    found = get_job_metrics()
    counts = found["job_count_by_status"]
    assert (counts["Pending"], counts["Failed"], counts["Timed Out"]) == (2, 1, 1)
    assert found["queue_depth_by_priority"] == {"Critical": 0, "High": 3, "Normal": 0, "Low": 1}


def test_the_roll_ups_tell_nothing_of_other_organizations(many: Job) -> None:
    kind, organization = make_job_type(), make_organization()
    for _ in range(2):
        pending_job(kind, organization)
    activity_of(many, completed=3, run_seconds=30.0, run_histogram={"10": 3})
    activity_of(many, Span.DAY, completed=3)
    found = get_job_metrics(organization)
    assert (found["processing_time"], found["job_count_by_status"]["Completed"]) == (NOTHING, 0)


def test_what_waits_is_counted_up_to_a_bound_by_priority(tuning: Tuning) -> None:
    tuning.set(metrics_counted_jobs=2)
    for priority in ["Low"] * 3 + ["High"]:
        pending_job(priority=priority)
    assert get_job_metrics()["queue_depth_by_priority"] == {"Critical": 0, "High": 1, "Normal": 0, "Low": 2}
