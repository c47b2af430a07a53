"""Run again: a new job from an edited copy of another one's parameters."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from django_jobs.engine.masking import MASK
from django_jobs.models import ExecutionLog, Job, Organization
from tests.support import admin
from tests.support.admin import remembered, text, url
from tests.support.brokers import job_in, pending_job
from tests.support.factories import make_job_type

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def sensitive(settings: Settings) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SENSITIVE_PARAMETERS": ("password",)}


def run_again(client: Client, job: Job, parameters: Any, priority: str = "1") -> Any:
    written = parameters if isinstance(parameters, str) else json.dumps(parameters)
    values = {"parameters": written, "priority": priority}
    return client.post(url("job", "run_again", job.pk), values, follow=True)


def newest() -> Job:
    return Job.objects.latest("pk")


def test_the_form_begins_with_the_jobs_own_parameters(root: Client) -> None:
    job = job_in("Completed", parameters={"month": "<b>"})
    assert "&lt;b&gt;" in text(root, url("job", "run_again", job.pk))


def test_a_copy_is_submitted_for_its_user(root: Client) -> None:
    job = job_in("Dead Letter", parameters={"n": 1}, priority="High")
    response = run_again(root, job, {"n": 2}, priority="2")
    made = newest()
    assert response.redirect_chain[-1][0] == url("job", "change", made.pk)
    assert (made.input_parameters, made.owner_name, made.priority) == ({"n": 2}, "root", 2)
    assert (made.job_type_id, made.organization_id) == (job.job_type_id, job.organization_id)
    assert ExecutionLog.objects.filter(job=made).earliest("pk").actor == "root"
    assert remembered(made) == [("root", f"Run again of {job.name}.")]
    assert remembered(job) == [("root", f"Run again as {made.name}.")]


@pytest.mark.usefixtures("sensitive")
def test_masked_values_stay_what_they_are(root: Client) -> None:
    job = pending_job(parameters={"user": "ann", "Password": "hunter2"})
    assert "hunter2" not in text(root, url("job", "run_again", job.pk))
    run_again(root, job, {"user": "bob", "Password": MASK})
    assert newest().input_parameters == {"user": "bob", "Password": "hunter2"}


@pytest.mark.usefixtures("sensitive")
def test_a_mask_is_never_submitted(root: Client) -> None:
    job = pending_job(parameters={"user": "ann", "Password": "hunter2"})
    page = run_again(root, job, {"user": MASK}).content.decode()
    assert "what the mask stood for is not known here" in page
    assert "hunter2" not in page
    assert newest() == job


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ("{", "This is no JSON"),
        ("[1]", "Give an object"),
        ('{"a": NaN}', "NaN"),
        ('{"a": "\\u0000"}', "NUL"),
        ("[" * 100_000, "JSON|nested"),
        ("x" * 70_000, "This is no JSON"),
    ],
)
def test_wrong_parameters_are_refused_beside_their_field(root: Client, parameters: str, reason: str) -> None:
    job = job_in("Completed")
    response = run_again(root, job, parameters)
    (error,) = response.context["form"].errors["parameters"]
    assert any(part in error for part in reason.split("|"))
    assert newest() == job


def test_a_duplicate_is_refused_with_a_link_to_the_earlier_job(root: Client) -> None:
    job = pending_job(make_job_type(deduplication_window=300), parameters={"n": 1})
    page = run_again(root, job, {"n": 1}).content.decode()
    assert f'The same work was submitted as <a href="{url("job", "change", job.pk)}">{job.name}</a>' in page


def test_a_type_that_was_disabled_meanwhile_is_said_to_be(root: Client) -> None:
    job = job_in("Completed")
    type(job.job_type).objects.update(is_enabled=False)
    assert "is disabled" in run_again(root, job, {}).content.decode()


def test_a_member_runs_again_what_a_member_may_submit(mine: Organization) -> None:
    member = admin.staff_of(mine)
    job = job_in("Completed", organization=mine)
    assert url("job", "run_again", job.pk) in text(member, url("job", "change", job.pk))
    run_again(member, job, {"n": 1})
    assert newest().owner_name == "member"


def test_a_member_without_the_types_permission_does_not(mine: Organization) -> None:
    member = admin.staff_of(mine)
    job = job_in("Completed", organization=mine, job_type=make_job_type(requires_permission="auth.add_user"))
    assert url("job", "run_again", job.pk) not in text(member, url("job", "change", job.pk))
    assert "You may not submit" in run_again(member, job, {"n": 1}).content.decode()
    assert newest() == job
