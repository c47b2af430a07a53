"""The steps and the checkpoint of a job on its page."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from django_jobs import RetryLater
from django_jobs.models import Job, Organization
from tests.support import admin
from tests.support.admin import codes_on, page_of, url
from tests.support.brokers import pending_job
from tests.support.durable import DurableJob
from tests.support.tuning import Tuning

pytestmark = pytest.mark.usefixtures("broker")


def worked(organization: Organization | None = None, **results: Any) -> DurableJob:
    """A job whose first attempt did a step for each of these, and left a checkpoint."""
    durable = DurableJob()
    if organization is not None:
        durable.job = pending_job(organization=organization)

    def handler(context: Any) -> None:
        for name, result in results.items():
            context.step(name, lambda result=result: result)
        context.checkpoint = {"page": 7, "card": "4111-secret"}
        raise RetryLater(60)

    durable.run(handler)
    return durable


def steps_told(page: str) -> list[str]:
    """How many steps there are, as the page says."""
    (heading,) = re.findall(r'<details data-djobs-fold="steps"[^>]*><summary>(.*?)</summary>', page)
    return re.findall(r"\((\d+)\)", heading)


def test_steps_and_checkpoint_are_told(root: Client) -> None:
    page = page_of(root, worked(charge={"id": "ch_1"}, book="entry 9").job)
    assert steps_told(page) == ["2"]
    assert page.index("entry 9") < page.index("ch_1")  # the last one first
    assert 'data-djobs-fold="checkpoint"' in page
    assert "&quot;page&quot;: 7" in page


def test_a_job_without_them_has_no_such_parts(root: Client) -> None:
    page = page_of(root, pending_job())
    assert "djobs-work" not in page


def test_sensitive_values_are_masked_for_those_who_may_not_read_them(
    root: Client, mine: Organization, settings: Settings
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SENSITIVE_PARAMETERS": ["card"]}
    job = worked(mine, charge={"card": "4222-secret", "id": "ch_1"}).job
    page = page_of(admin.staff_of(mine), job)
    assert "secret" not in page
    assert "ch_1" in page
    assert "4222-secret" in page_of(root, job)
    assert "4111-secret" in page_of(root, job)


def test_of_a_suspended_organization_its_people_read_no_results(mine: Organization) -> None:
    job = worked(mine, charge="ch_1").job
    Organization.objects.filter(pk=mine.pk).update(is_active=False)
    page = page_of(admin.staff_of(mine), job)
    assert steps_told(page) == ["1"]
    assert "ch_1" not in page
    assert "4111-secret" not in page


def test_nobody_is_shown_the_digest_by_which_short_arguments_can_be_guessed(mine: Organization) -> None:
    durable = DurableJob()
    durable.job = pending_job(organization=mine)

    async def check(context: Any, pin: str) -> None:
        await context.astep("check", float, pin)

    async def handler(context: Any) -> None:
        await asyncio.create_task(check(context, "1234"))
        await asyncio.create_task(check(context, "nan"))  # which cannot be stored

    durable.run(handler)
    page = page_of(admin.staff_of(mine), durable.job)
    assert durable.stored()[0][1] not in page
    assert "1234.0" in page
    assert "'check'" in durable.job.error_message


def test_long_results_are_folded_and_cut(root: Client) -> None:
    page = page_of(root, worked(export="x" * 20_000).job)
    assert '<details data-djobs-fold="step 1">' in page
    assert len(page) < 60_000


def test_of_many_steps_the_latest_are_shown(root: Client, tuning: Tuning) -> None:
    tuning.set(job_page_work_rows=2)
    job = worked(first=1, second=2, third=3).job
    work = root.get(url("job", "change", job.pk)).context["work"]
    assert [step.position for step in work["steps"]] == [3, 2]
    assert "latest_steps" in codes_on(page_of(root, job))
    assert len(root.get(url("job", "change", job.pk), {"all": "1"}).context["work"]["steps"]) == 3


def test_run_again_starts_without_them(root: Client) -> None:
    job = worked(charge=1).job
    root.post(url("job", "run_again", job.pk), {"parameters": "{}", "priority": job.priority})
    again = Job.objects.exclude(pk=job.pk).get()
    assert "djobs-work" not in page_of(root, again)
