"""Counts and times: exact while there is little, bounded when there is much, scoped to who asks."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_jobs import get_job_metrics
from django_jobs.engine import announcements, database, metrics
from django_jobs.exceptions import JobNotFound
from django_jobs.models import Job, OrganizationActivity, Span, TypeActivity, Worker
from django_jobs.statuses import Status
from tests.support.brokers import WORKER, job_in, pending_job
from tests.support.factories import make_job_type, make_organization, make_system_admin, make_user

pytestmark = pytest.mark.usefixtures("broker")

FACTS = {
    "job_count_by_status", "queue_depth_by_priority", "processing_time", "processing_time_by_type",
    "failure_rate_by_type", "active_workers", "throughput_per_minute", "oldest_waiting_seconds", "timestamp",
}  # fmt: skip
NOTHING = {"average_seconds": None, "p95_seconds": None}


def ran_for(seconds: float, job_type: Any = None, ago: float = 60, **fields: Any) -> Job:
    """A job that completed ``ago`` seconds ago after so many seconds."""
    job = job_in("Completed", job_type=job_type, **fields)
    end = database.now() - dt.timedelta(seconds=ago)
    Job.objects.filter(pk=job.pk).update(started_at=end - dt.timedelta(seconds=seconds), completed_at=end)
    return job


def test_with_no_jobs_there_is_nothing_to_tell() -> None:
    found = get_job_metrics()
    assert set(found) == FACTS
    assert set(found["job_count_by_status"].values()) == set(found["queue_depth_by_priority"].values()) == {0}
    assert (found["processing_time"], found["processing_time_by_type"]) == (NOTHING, {})
    assert (found["failure_rate_by_type"], found["active_workers"], found["throughput_per_minute"]) == ({}, 0, 0)
    assert found["oldest_waiting_seconds"] is None


def test_the_moment_is_the_databases() -> None:
    before = database.now()
    assert before <= get_job_metrics()["timestamp"] <= database.now()


@pytest.mark.parametrize("status", Status.values)
def test_every_status_is_counted(status: str) -> None:
    job_in(status)
    job_in(status)
    assert get_job_metrics()["job_count_by_status"] == {**dict.fromkeys(Status.values, 0), status: 2}


def test_a_child_that_waits_for_its_parent_counts_as_pending() -> None:
    parent = job_in("Running")
    pending_job(organization=parent.organization, depends_on=parent)
    assert get_job_metrics()["job_count_by_status"]["Pending"] == 1


def test_the_depth_is_what_waits_for_a_worker() -> None:
    for priority, status in [("Low", "Pending"), ("High", "Queued"), ("High", "Failed"), ("Critical", "Running")]:
        job_in(status, priority=priority)
    assert get_job_metrics()["queue_depth_by_priority"] == {"Critical": 0, "High": 2, "Normal": 0, "Low": 1}


def test_times_are_averaged_and_the_slowest_twentieth_marks_the_p95() -> None:
    kind, organization = make_job_type(), make_organization()
    for seconds in range(1, 21):
        ran_for(seconds, kind, organization=organization)
    assert get_job_metrics()["processing_time"] == {"average_seconds": 10.5, "p95_seconds": 19.0}


def test_times_are_told_by_type() -> None:
    quick, slow = ran_for(1), ran_for(9)
    assert get_job_metrics()["processing_time_by_type"] == {
        quick.job_type_id: {"average_seconds": 1.0, "p95_seconds": 1.0},
        slow.job_type_id: {"average_seconds": 9.0, "p95_seconds": 9.0},
    }


def test_what_ended_more_than_an_hour_ago_is_past() -> None:
    ran_for(1, ago=3601)
    found = get_job_metrics()
    assert (found["processing_time"], found["throughput_per_minute"]) == (NOTHING, 0)
    assert found["job_count_by_status"]["Completed"] == 1


def test_the_failure_rate_is_the_share_of_dead_letters() -> None:
    kind, organization = make_job_type(), make_organization()
    for status in ("Completed", "Completed", "Completed", "Dead Letter", "Canceled", "Failed"):
        job_in(status, job_type=kind, organization=organization)
    assert get_job_metrics()["failure_rate_by_type"] == {kind.pk: 0.25}


def test_throughput_is_what_completed_in_the_last_hour_by_minute() -> None:
    for _ in range(3):
        ran_for(1)
    assert get_job_metrics()["throughput_per_minute"] == pytest.approx(0.05)


def test_the_oldest_waiting_job_counts_from_when_it_was_due() -> None:
    for minutes in (1, 5, -5):
        moment = database.now() - dt.timedelta(minutes=minutes)
        Job.objects.filter(pk=pending_job().pk).update(ready_at=moment)
    assert get_job_metrics()["oldest_waiting_seconds"] == pytest.approx(300, abs=30)


def test_a_job_with_a_ticket_waits_too() -> None:
    job = job_in("Queued")
    Job.objects.filter(pk=job.pk).update(queued_at=database.now() - dt.timedelta(minutes=5))
    assert get_job_metrics()["oldest_waiting_seconds"] == pytest.approx(300, abs=30)


def test_a_job_that_is_not_due_does_not_wait() -> None:
    pending_job(run_at=database.now() + dt.timedelta(hours=1))
    found = get_job_metrics()
    assert (found["oldest_waiting_seconds"], found["queue_depth_by_priority"]["Normal"]) == (None, 1)


def test_living_workers_are_counted() -> None:
    announcements.announce(WORKER, ["jobs-normal"], slots=4, window=8)
    announcements.announce("worker-2", ["jobs-normal"], slots=1, window=8)
    Worker.objects.filter(pk="worker-2").update(last_seen=database.now() - dt.timedelta(minutes=5))
    assert get_job_metrics()["active_workers"] == 1


def test_one_organization_by_its_id_or_itself() -> None:
    job_in("Completed")
    job = job_in("Completed")
    for organization in (job.organization, job.organization_name):
        found = get_job_metrics(organization)
        assert found["job_count_by_status"]["Completed"] == 1
        assert list(found["failure_rate_by_type"]) == [job.job_type_id]


def test_an_organization_without_jobs_has_none() -> None:
    job_in("Pending")
    job_in("Queued")
    job_in("Completed")
    found = get_job_metrics(make_organization())
    assert set(found["job_count_by_status"].values()) == set(found["queue_depth_by_priority"].values()) == {0}


def test_an_unknown_organization_is_not_found() -> None:
    with pytest.raises(JobNotFound):
        get_job_metrics("ORG-1999-00001")


def test_a_user_is_told_of_the_own_organizations() -> None:
    organization = make_organization()
    for status in ("Pending", "Queued", "Completed"):
        job_in(status)
        job_in(status, organization=organization)
    user = make_user(member_of=[organization])
    for found in (get_job_metrics(user=user), get_job_metrics(organization, user=user)):
        assert sum(found["job_count_by_status"].values()) == 3
        assert found["queue_depth_by_priority"]["Normal"] == 2


def test_a_user_of_no_organization_is_told_of_nothing() -> None:
    job_in("Completed")
    assert sum(get_job_metrics(user=make_user())["job_count_by_status"].values()) == 0


def test_another_organization_is_not_found() -> None:
    job = job_in("Completed")
    with pytest.raises(JobNotFound):
        get_job_metrics(job.organization, user=make_user(member_of=[make_organization()]))


def test_a_system_admin_is_told_everything() -> None:
    jobs = [job_in("Completed"), job_in("Completed")]
    admin = make_system_admin()
    assert get_job_metrics(user=admin)["job_count_by_status"]["Completed"] == 2
    assert get_job_metrics(jobs[0].organization, user=admin)["job_count_by_status"]["Completed"] == 1


def activity_of(job: Job, span: Span = Span.MINUTE, ago: float = 120, **measures: Any) -> None:
    """What the scheduler would have kept of the job's type and organization, from so many seconds ago."""
    fields: dict[str, Any] = {"span": span, "starts_at": database.now() - dt.timedelta(seconds=ago), **measures}
    TypeActivity.objects.create(job_type=job.job_type_id, **fields)
    OrganizationActivity.objects.create(job_type=job.job_type_id, organization_id=job.organization_id, **fields)


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> Job:
    """One of so many jobs that they are not all looked at."""
    job = ran_for(1)
    ran_for(1, job.job_type, organization=job.organization)
    monkeypatch.setattr(metrics, "BOUND", 1)
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


def test_of_many_jobs_those_that_died_or_wait_for_others_are_counted_up_to_a_bound(many: Job) -> None:
    parent = job_in("Running", job_type=many.job_type, organization=many.organization)
    for _ in range(2):
        pending_job(many.job_type, many.organization, depends_on=parent)
        job_in("Dead Letter", job_type=many.job_type, organization=many.organization)
    found = get_job_metrics()["job_count_by_status"]
    assert (found["Pending"], found["Dead Letter"], found["Running"]) == (1, 1, 1)


def test_of_many_jobs_those_that_wait_for_a_retry_are_no_pending_ones(
    many: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    for status in ("Failed", "Timed Out", "Pending"):
        job_in(status, job_type=many.job_type, organization=many.organization, priority="High")
    pending_job(many.job_type, many.organization, priority="Low")
    monkeypatch.setattr(metrics, "BOUND", 3)
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


def test_what_waits_is_counted_up_to_a_bound_by_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "BOUND", 2)
    for priority in ["Low"] * 3 + ["High"]:
        pending_job(priority=priority)
    assert get_job_metrics()["queue_depth_by_priority"] == {"Critical": 0, "High": 1, "Normal": 0, "Low": 2}


def test_many_jobs_take_a_few_statements(many: Job) -> None:
    for organization in (None, many.organization):
        with CaptureQueriesContext(connection) as queries:
            get_job_metrics(organization)
        assert len(queries) <= 16


def test_it_takes_as_many_statements_however_many_jobs_there_are() -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as queries:
            get_job_metrics()
        return len(queries)

    before = statements()
    for status in Status.values:
        job_in(status)
        job_in(status)
    assert statements() == before <= 12
