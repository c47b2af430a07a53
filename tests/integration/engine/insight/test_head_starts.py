"""A head start is no time of waiting: what tells how long jobs wait tells it of their moments."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_jobs import get_job_metrics, get_job_status
from django_jobs.models import Job, JobType, Organization
from django_jobs.pools import all_queues
from tests.support import verbs
from tests.support.alerts import evaluate, only
from tests.support.brokers import ALL_QUEUES, WORKER, job_in, pending_job
from tests.support.head_starts import HOUR, ahead_job, make_task_type
from tests.support.tuning import Tuning

pytestmark = pytest.mark.usefixtures("broker")

MINUTES = dt.timedelta(minutes=5)


@pytest.fixture
def job(organization: Organization) -> Job:
    """A task with a head start of two days that waits since five minutes ago."""
    job = ahead_job(48, make_task_type("send"), organization, priority="Critical")
    Job.objects.filter(pk=job.pk).update(ready_at=verbs.now() - MINUTES - 48 * HOUR)
    return job


def make_many(tuning: Tuning) -> None:
    """Let two jobs be many, of which this makes one."""
    tuning.set(metrics_counted_jobs=1)
    job_in("Completed")


@pytest.mark.parametrize("is_large", [True, False], ids=["many jobs", "few jobs"])
def test_metrics(job: Job, tuning: Tuning, is_large: bool) -> None:
    if is_large:
        make_many(tuning)
    assert get_job_metrics()["oldest_waiting_seconds"] == pytest.approx(300, abs=30)


@pytest.mark.parametrize("priority", ["Normal", "Critical"])
def test_metrics_of_many_jobs_with_and_without(job: Job, tuning: Tuning, priority: str) -> None:
    make_many(tuning)
    Job.objects.filter(pk=pending_job(priority=priority).pk).update(ready_at=verbs.now() - 2 * MINUTES)
    assert get_job_metrics()["oldest_waiting_seconds"] == pytest.approx(600, abs=30)


def test_metrics_of_many_jobs_of_which_none_is_a_task_read_no_head_starts(tuning: Tuning) -> None:
    """That column is in no index."""
    make_many(tuning)
    pending_job(priority="Critical")
    with CaptureQueriesContext(connection) as queries:
        assert get_job_metrics()["oldest_waiting_seconds"] is not None
    assert not [query["sql"] for query in queries if "head_start" in query["sql"]]


def test_the_status_of_the_system(job: Job) -> None:
    assert verbs.snapshot()["oldest_waiting_seconds"] == pytest.approx(300, abs=30)


def test_the_monitor(job: Job) -> None:
    assert verbs.read_monitor_now(None, verbs.now()).oldest_seconds == pytest.approx(300, abs=30)


@pytest.mark.parametrize("is_large", [True, False])
def test_what_waits_for_its_moment_is_not_yet_late_by_it(
    organization: Organization, tuning: Tuning, is_large: bool
) -> None:
    if is_large:
        make_many(tuning)
    ahead_job(48, make_task_type("send"), organization, priority="High", run_at=verbs.now() + HOUR)
    Job.objects.filter(status="Pending").update(ready_at=verbs.now() - MINUTES)  # it has come, and nobody has seen it
    assert get_job_metrics()["oldest_waiting_seconds"] == pytest.approx(300, abs=30)


def neglected(seconds: float) -> int:
    since = verbs.now() - dt.timedelta(seconds=seconds)
    return verbs.count_neglected(since, all_queues()).total()


def test_neglected_jobs(job: Job) -> None:
    verbs.announce_worker(WORKER, ALL_QUEUES, slots=8)
    assert (neglected(600), neglected(60)) == (0, 1)


@pytest.mark.parametrize(("seconds", "alarms"), [(600, 0), (60, 1)])
def test_the_alarm_of_a_pool_without_workers(settings: Any, job: Job, seconds: int, alarms: int) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, **only("no_worker", seconds=seconds)}
    assert len(evaluate()) == alarms


def test_no_handler_is_suspected(kind: JobType, organization: Organization) -> None:
    jobs = [ahead_job(48, kind, organization), ahead_job(48, kind, organization, run_at=verbs.now() - HOUR)]
    rows = list(Job.objects.all())
    assert verbs.unloadable_reasons(rows) == {}
    assert {get_job_status(job).waiting_for for job in jobs} == {"window"}
