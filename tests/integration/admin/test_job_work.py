"""The steps and the checkpoint of a job on its page."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from django_jobs import RetryLater
from django_jobs.admin import job_work
from django_jobs.engine.execution.handler_run import context_for
from django_jobs.models import Job, Organization
from tests.support import admin
from tests.support.admin import page_of, text, url
from tests.support.attempts import FreeRunner
from tests.support.brokers import pending_job, start
from tests.support.durable import DurableJob
from tests.support.factories import make_organization

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


def test_steps_and_checkpoint_are_told(root: Client) -> None:
    page = page_of(root, worked(charge={"id": "ch_1"}, book="entry 9").job)
    assert "Steps (2)" in page
    assert page.index("entry 9") < page.index("ch_1")  # the last one first
    assert "Saved" in page
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
    assert "Steps (1)" in page
    assert "ch_1" not in page
    assert "4111-secret" not in page


def test_long_results_are_folded_and_cut(root: Client) -> None:
    page = page_of(root, worked(export="x" * 20_000).job)
    assert '<details data-djobs-fold="step 1">' in page
    assert len(page) < 60_000


def test_of_many_steps_the_latest_are_shown(root: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_work, "ROWS", 2)
    job = worked(first=1, second=2, third=3).job
    work = root.get(url("job", "change", job.pk)).context["work"]
    assert [step.position for step in work.steps] == [3, 2]
    assert "The latest 2 steps." in page_of(root, job)
    assert len(root.get(url("job", "change", job.pk), {"all": "1"}).context["work"].steps) == 3


def state_of(client: Client, pk: int, *others: int) -> str:
    """What the open page of a job compares."""
    answer = json.loads(text(client, url("job", "live"), ids=",".join(map(str, (pk, *others)))))
    return str(answer["jobs"][str(pk)]["state"])


def test_an_open_page_is_read_again_after_each_step_and_each_checkpoint(root: Client) -> None:
    claimed = start(pending_job())
    context = context_for(claimed, FreeRunner())
    states = []
    for act in (dict, lambda: context.step("charge", dict), context.save_checkpoint):
        act()
        state = state_of(root, claimed.pk)
        assert f'data-djobs-state="{state}"' in text(root, url("job", "change", claimed.pk))
        states.append(state)
    assert len(set(states)) == 3


def test_a_list_of_jobs_does_not_ask_for_steps(root: Client) -> None:
    first, second = worked(charge=1).job, pending_job(organization=make_organization())
    assert state_of(root, first.pk, second.pk).endswith(" ")


def test_run_again_starts_without_them(root: Client) -> None:
    job = worked(charge=1).job
    root.post(url("job", "run_again", job.pk), {"parameters": "{}", "priority": job.priority})
    again = Job.objects.exclude(pk=job.pk).get()
    assert "djobs-work" not in page_of(root, again)
