"""The handler's own log lines on a job's page, and who reads them."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from pytest_django import Settings

from django_jobs.models import AttemptLog, Job, Organization
from tests.support import admin
from tests.support.admin import page_of, text, url
from tests.support.brokers import end, pending_job, returned, start
from tests.support.tuning import Tuning

pytestmark = pytest.mark.usefixtures("broker")

EVIL = "<script>alert(1)</script>"


def written(organization: Organization, **fields: object) -> Job:
    job = end(returned(start(pending_job(organization=organization))))
    line = [job.created_at.timestamp(), "ERROR", "shop.mails", f"the printer is out {EVIL}"]
    AttemptLog.objects.create(job_id=job.pk, **{"attempt": 1, "first_lines": [line], "kept": 1, **fields})
    return job


def log_of(job: Job, attempt: int = 1) -> str:
    return url("job", "log", job.pk, attempt)


def lines_told(page: str) -> list[str]:
    """How many lines the log of the first attempt has, as the page says."""
    (summary,) = re.findall(r'<details data-djobs-fold="log 1"><summary>([^<]*)</summary>', page)
    return re.findall(r"\d+", summary)


def test_system_admins_read_the_lines_of_each_attempt(root: Client, mine: Organization) -> None:
    page = page_of(root, written(mine))
    assert lines_told(page) == ["1"]
    assert "the printer is out &lt;script&gt;" in page
    assert EVIL not in page


def test_lines_that_are_not_kept_are_counted(root: Client, mine: Organization) -> None:
    page = page_of(root, written(mine, dropped=1_234))
    assert lines_told(page) == ["1235"]
    assert re.search(r'<li class="djobs-log-cut">[^<]*\b1234\b', page)


def test_of_earlier_attempts_and_of_many_lines_a_page_of_their_own_tells(
    root: Client, mine: Organization, tuning: Tuning
) -> None:
    job = written(mine)
    AttemptLog.objects.create(job_id=job.pk, attempt=2, first_lines=[[1.0625, "INFO", "shop", "the latest"]], kept=1)
    Job.objects.filter(pk=job.pk).update(attempt=2)
    page = page_of(root, job)
    assert "the printer is out" not in page
    assert f'href="{log_of(job)}"' in page
    assert "the printer is out" in text(root, log_of(job))
    tuning.set(job_page_log_lines=0)
    assert "the latest" not in page_of(root, job)
    assert "the latest" in (latest := text(root, log_of(job, 2)))
    assert ":01.062<" in latest
    assert ["djobs-log-bad" in shown for shown in (latest, text(root, log_of(job)))] == [False, True]


def test_a_log_that_is_not_there_and_one_of_others_are_not_shown(
    root: Client, mine: Organization, theirs: Organization
) -> None:
    job = written(mine)
    assert root.get(log_of(job, 7)).status_code == 404
    assert admin.staff_of(mine).get(log_of(job)).status_code == 403
    assert admin.staff_of(theirs, role="admin").get(log_of(job)).status_code == 302


def test_others_read_them_only_where_the_policy_says_so(mine: Organization, settings: Settings) -> None:
    member, job = admin.staff_of(mine), written(mine)
    assert "the printer is out" not in page_of(member, job)
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": "tests.support.policies.LogsForAll"}
    assert "the printer is out" in page_of(member, job)
    assert "the printer is out" in text(member, log_of(job))


def test_the_zone_of_the_lines_is_said_once(root: Client, mine: Organization, settings: Settings) -> None:
    settings.TIME_ZONE = "Asia/Kolkata"
    job = written(mine)
    for shown in (page_of(root, job), text(root, log_of(job))):
        assert len(re.findall(r'djobs-log-zone">[^<]*\bAsia/Kolkata\b', shown)) == 1
