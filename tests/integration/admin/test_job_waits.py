"""Why a job waits, on its page: for a pool that is not configured, or until the end of the calendar."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from django_jobs import pools
from django_jobs.models import Job, JobType, Organization
from tests.support import admin, verbs
from tests.support.admin import codes_on, fact_on, page_of, url
from tests.support.brokers import job_in, pending_job
from tests.support.factories import make_job_type

pytestmark = pytest.mark.usefixtures("broker")


def waits(client: Client, job: Job) -> str:
    """What the page of a job says of why it waits."""
    return fact_on(page_of(client, job), "waits_because")


@pytest.mark.parametrize("status", ["Pending", "Queued"])
def test_of_a_pool_that_is_not_configured_it_is_said_what_to_do(root: Client, settings: Any, status: str) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "POOLS": {"gpu": {}}}
    job = job_in(status, job_type=make_job_type(pool="gpu"))
    assert codes_on(waits(root, job)) == ["no_worker"]
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "POOLS": {}}
    words = waits(root, job)
    assert codes_on(words) == ["unknown_pool"]
    assert "<bdi>gpu</bdi>" in words
    assert f'<a href="{url("jobtype", "change", job.job_type_id)}">' in words


def test_of_a_pool_without_workers_system_admins_read_what_to_do(
    root: Client, mine: Organization, settings: Any
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "POOLS": {"gpu": {}}}
    job = pending_job(make_job_type(pool="gpu"), mine)
    said = "manage.py jobs_worker --pool gpu"
    assert codes_on(waits(root, job)) == ["no_worker"]
    assert said in waits(root, job)
    assert said not in page_of(admin.staff_of(mine), job)
    verbs.announce_worker("worker-1", pools.queue_names("gpu"), slots=2)
    assert said not in page_of(root, job)


def test_the_page_of_the_type_is_for_who_may_change_it(mine: Organization, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "POOLS": {"gpu": {}}}
    job = pending_job(make_job_type(pool="gpu"), mine)
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "POOLS": {}}
    words = waits(admin.staff_of(mine), job)
    assert codes_on(words) == ["unknown_pool"]
    assert "<a" not in words


def test_a_waiting_job_whose_type_is_gone_has_a_page(root: Client) -> None:
    job = pending_job()
    JobType.objects.filter(pk=job.job_type_id)._raw_delete(JobType.primary.db)
    assert codes_on(waits(root, job)) == ["window"]


def test_a_job_that_waits_until_the_end_of_the_calendar_has_a_page_in_every_zone(root: Client) -> None:
    job = pending_job(run_at=dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC))
    with timezone.override("Europe/Berlin"):
        assert "Dec. 31, 9999, 23:59:59 UTC" in page_of(root, job)
