"""How a store finds the jobs that were not started in time."""

from __future__ import annotations

import datetime as dt

import pytest

from django_jobs.models import Job
from tests.support.brokers import job_in
from tests.support.verbs import Store

pytestmark = pytest.mark.usefixtures("broker")


def job_that_expires(store: Store, status: str, seconds: float) -> Job:
    job = job_in(status)
    Job.objects.filter(pk=job.pk).update(expires_at=store.now() + dt.timedelta(seconds=seconds))
    return job


def test_waiting_jobs_whose_time_is_over_are_found(each_store: Store) -> None:
    statuses = ("Pending", "Queued", "Failed", "Timed Out")
    expected = {job_that_expires(each_store, status, -60).pk for status in statuses}
    job_in("Pending")
    job_that_expires(each_store, "Pending", 60)
    for status in ("Running", "Completed", "Canceled", "Dead Letter"):
        job_that_expires(each_store, status, -60)
    assert set(each_store.overdue_jobs(10)) == expected


def test_no_more_are_found_than_asked_for(each_store: Store) -> None:
    for _ in range(3):
        job_that_expires(each_store, "Pending", -60)
    assert len(each_store.overdue_jobs(2)) == 2
