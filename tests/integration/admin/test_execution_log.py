"""The Execution Log in the admin, and on a job's page: when, to the second and in which zone, and who."""

from __future__ import annotations

import datetime as dt
import re

import pytest
from django.test import Client
from pytest_django import Settings

from django_jobs import submit_job
from django_jobs.models import ExecutionLog, Job, Organization
from tests.support import admin
from tests.support.admin import asked, fact_on, page_of, text, url
from tests.support.brokers import end, job_in, pending_job, raised, running_job
from tests.support.factories import make_job_type, make_user

pytestmark = pytest.mark.usefixtures("broker")

MOMENT = dt.datetime(2026, 7, 3, 12, 34, 56, tzinfo=dt.UTC)


def pages_of_log(client: Client, job: Job) -> list[str]:
    """The list, the first row's own page, and the job's page."""
    log = ExecutionLog.objects.filter(job=job).earliest("pk")
    return [
        text(client, url("executionlog", "changelist")),
        text(client, url("executionlog", "change", log.pk)),
        page_of(client, job),
    ]


@pytest.mark.parametrize(("zone", "shown"), [("UTC", "12:34:56 UTC"), ("Asia/Kolkata", "18:04:56 IST")])
def test_the_log_tells_seconds_and_the_zone(root: Client, settings: Settings, zone: str, shown: str) -> None:
    settings.TIME_ZONE = zone
    job = pending_job()
    ExecutionLog.objects.update(timestamp=MOMENT)
    assert [shown in page for page in pages_of_log(root, job)] == [True, True, True]


def test_a_user_who_is_called_like_a_part_of_the_engine_is_told_apart(root: Client, mine: Organization) -> None:
    job = pending_job(organization=mine, user=make_user("Scheduler", member_of=[mine]))
    for page in pages_of_log(root, job):
        assert '<bdi>Scheduler</bdi> <small data-code="user">' in page


@pytest.mark.parametrize("name", ["", "ann"])
def test_a_name_that_says_who_it_is_stands_alone(root: Client, mine: Organization, name: str) -> None:
    job = pending_job(organization=mine, user=make_user(name, member_of=[mine]) if name else None)
    for page in pages_of_log(root, job):
        assert f"<bdi>{name or 'system'}</bdi>" in page
        assert 'data-code="user"' not in page


def test_a_job_that_another_submitted_leads_to_it(root: Client) -> None:
    parent, job = job_in("Completed"), pending_job()
    Job.objects.filter(pk=job.pk).update(submitted_by_id=parent.pk, submitted_by_attempt=2)
    link = f'<a href="{url("job", "change", parent.pk)}">{parent.name}</a>'
    before, found, after = fact_on(page_of(root, job), "submitter").partition(link)
    assert (before, found, re.findall(r"\d+", after)) == ("", link, ["2"])
    Job.objects.filter(pk=job.pk).update(submitted_by_id=parent.pk + 1_000)
    assert re.findall(r"\d+", fact_on(page_of(root, job), "submitter")) == ["2"], "the attempt, and no job"


def test_when_a_job_expires_and_what_it_starts_after_are_told(root: Client) -> None:
    parent = pending_job()
    expires_at = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    job = submit_job(make_job_type(), parent.organization, depends_on=[parent])
    Job.objects.filter(pk=job.pk).update(run_after="ended", expires_at=expires_at)
    page = page_of(root, job)
    assert expires_at.isoformat() in page
    assert fact_on(page, "starts_after")
    assert fact_on(page_of(root, parent), "starts_after") == ""
    for name in ("submitter", "followed_batch", "scheduled_by"):
        assert fact_on(page_of(root, parent), name) == ""


def test_the_log_is_narrowed_by_what_jobs_became_when_and_by_their_type(root: Client) -> None:
    job, kept = end(raised(running_job()[1], "Permanent")), pending_job()
    failed = ExecutionLog.objects.get(job=job, from_status="Running")
    ExecutionLog.objects.filter(job=job).exclude(pk=failed.pk).update(timestamp=MOMENT)
    # A job that dies without an attempt of its own, such as one whose worker type is gone, is no failed attempt.
    ExecutionLog.objects.filter(job=kept).update(to_status=failed.to_status)

    def found(**query: str) -> set[int]:
        return {row.pk for row in asked(root, query, "executionlog").result_list}

    own, other = (set(ExecutionLog.objects.filter(job=item).values_list("pk", flat=True)) for item in (job, kept))
    assert found(became="failures") == {failed.pk}
    assert found(became=failed.to_status) == {failed.pk, *other}
    assert found(job_type=job.job_type_id) == own
    assert found(since="hour") == {failed.pk, *other}


def test_a_row_leads_to_its_job(mine: Organization) -> None:
    member = admin.staff_of(mine)
    job = pending_job(organization=mine)
    log = ExecutionLog.objects.get(job=job)
    shown = text(member, url("executionlog", "change", log.pk))
    assert f'<a href="{url("job", "change", job.pk)}">{job.name}</a>' in shown
