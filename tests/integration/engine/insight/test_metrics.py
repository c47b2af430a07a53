"""Counts and times: the counts are exact while there is little."""

from __future__ import annotations

import datetime as dt

import pytest

from django_jobs import get_job_metrics
from django_jobs.models import Job, Worker
from django_jobs.statuses import Status
from tests.support import verbs
from tests.support.brokers import WORKER, job_in, pending_job
from tests.support.cases import rolled_back
from tests.support.factories import make_job_type, make_organization
from tests.support.runs import ran_for
from tests.support.statements import statements_of

pytestmark = pytest.mark.usefixtures("broker")

FACTS = {
    "job_count_by_status", "queue_depth_by_priority", "processing_time", "processing_time_by_type",
    "failure_rate_by_type", "active_workers", "throughput_per_minute", "oldest_waiting_seconds", "timestamp",
}  # fmt: skip
NOTHING = {"average_seconds": None, "p95_seconds": None}


def test_with_no_jobs_there_is_nothing_to_tell() -> None:
    found = get_job_metrics()
    assert set(found) == FACTS
    assert set(found["job_count_by_status"].values()) == set(found["queue_depth_by_priority"].values()) == {0}
    assert (found["processing_time"], found["processing_time_by_type"]) == (NOTHING, {})
    assert (found["failure_rate_by_type"], found["active_workers"], found["throughput_per_minute"]) == ({}, 0, 0)
    assert found["oldest_waiting_seconds"] is None


def test_the_moment_is_the_databases() -> None:
    before = verbs.now()
    assert before <= get_job_metrics()["timestamp"] <= verbs.now()


def test_every_status_is_counted(subtests: pytest.Subtests) -> None:
    for status in Status.values:
        with rolled_back(subtests, status=status):
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


@pytest.mark.usefixtures("alone")
def test_how_jobs_ran_is_told_once_the_scheduler_has_summed_it_up() -> None:
    kind, organization = make_job_type(), make_organization()
    for seconds in range(1, 21):
        ran_for(seconds, kind, organization=organization)
    for status in ("Dead Letter", "Canceled", "Failed"):
        job_in(status, job_type=kind, organization=organization)
    assert get_job_metrics()["processing_time"] == NOTHING
    verbs.catch_up_rollups()
    for found in (get_job_metrics(), get_job_metrics(organization)):
        times = {"average_seconds": 10.5, "p95_seconds": pytest.approx(19, rel=0.13)}
        assert found["processing_time"] == found["processing_time_by_type"][kind.pk] == times
        assert found["failure_rate_by_type"] == {kind.pk: pytest.approx(1 / 21)}
        assert found["throughput_per_minute"] == pytest.approx(20 / 60, rel=0.02)


def test_the_oldest_waiting_job_counts_from_when_it_was_due() -> None:
    for minutes in (1, 5, -5):
        moment = verbs.now() - dt.timedelta(minutes=minutes)
        Job.objects.filter(pk=pending_job().pk).update(ready_at=moment)
    assert get_job_metrics()["oldest_waiting_seconds"] == pytest.approx(300, abs=30)


def test_a_job_with_a_ticket_waits_too_and_one_that_runs_no_longer() -> None:
    for status, minutes in (("Queued", 5), ("Running", 90)):
        queued_at = verbs.now() - dt.timedelta(minutes=minutes)
        Job.objects.filter(pk=job_in(status).pk).update(queued_at=queued_at)
    assert get_job_metrics()["oldest_waiting_seconds"] == pytest.approx(300, abs=30)


def test_a_job_that_is_not_due_does_not_wait() -> None:
    pending_job(run_at=verbs.now() + dt.timedelta(hours=1))
    found = get_job_metrics()
    assert (found["oldest_waiting_seconds"], found["queue_depth_by_priority"]["Normal"]) == (None, 1)


def test_living_workers_are_counted() -> None:
    verbs.announce_worker(WORKER, ["jobs-normal"], slots=4)
    verbs.announce_worker("worker-2", ["jobs-normal"], slots=8)
    Worker.objects.filter(pk="worker-2").update(last_seen=verbs.now() - dt.timedelta(minutes=5))
    assert get_job_metrics()["active_workers"] == 1


def test_it_takes_as_many_statements_however_many_jobs_there_are() -> None:
    before = statements_of(get_job_metrics)
    for status in Status.values:
        job_in(status)
        job_in(status)
    assert statements_of(get_job_metrics) <= before <= 12
