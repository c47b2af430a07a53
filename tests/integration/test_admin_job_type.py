"""Job types in the admin: what a form accepts, and what it must not destroy."""

from __future__ import annotations

import pytest
from django.contrib.admin.utils import quote
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from django_jobs import submit_job
from django_jobs.models import Job, JobType
from tests.support.factories import make_job_type, make_organization, make_system_admin


@pytest.fixture
def system_admin(client: Client) -> Client:
    user = make_system_admin("sysadmin")
    User.objects.filter(pk=user.pk).update(is_staff=True)
    client.force_login(user)
    return client


def url(page: str, *args: str) -> str:
    return reverse(f"admin:django_jobs_jobtype_{page}", args=[quote(arg) for arg in args])


def type_form(**changed: object) -> dict[str, object]:
    values = {
        "type_name": "echo",
        "handler_method": "tests.support.handlers.echo",
        "default_timeout": 30,
        "default_priority": 1,
        "max_retries": 5,
        "retry_delay": 60,
        "is_enabled": "on",
        "deduplication_window": 300,
        "rate_limit_window": 60,
    }
    return {**values, **changed}


def test_a_system_admin_adds_a_type(system_admin: Client) -> None:
    assert system_admin.post(url("add"), type_form()).status_code == 302
    assert JobType.objects.get(pk="echo").default_timeout == 30


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("os.system", "outside the allowed modules"),
        ("tests.support.handlers.missing", "not loadable"),
        ("tests.support.handlers.os.system", "outside the allowed modules|no allowed module|not loadable"),
        ("nodots", "not a dotted path"),
    ],
)
def test_a_wrong_handler_is_refused_at_once(system_admin: Client, path: str, reason: str) -> None:
    response = system_admin.post(url("add"), type_form(handler_method=path))
    assert response.status_code == 200
    (message,) = response.context["adminform"].form.errors["handler_method"]
    assert any(part in message for part in reason.split("|"))
    assert not JobType.objects.filter(pk="echo").exists()


def test_a_type_whose_handler_is_gone_can_be_paused(system_admin: Client) -> None:
    kind = make_job_type()
    JobType.objects.update(handler_method="gone.jobs.handler")
    values = type_form(type_name=kind.pk, handler_method="gone.jobs.handler", is_paused="on")
    assert system_admin.post(url("change", kind.pk), values).status_code == 302
    kind.refresh_from_db()
    assert kind.is_paused


def test_a_type_keeps_its_name(system_admin: Client) -> None:
    kind = make_job_type()
    system_admin.post(url("change", kind.pk), type_form(type_name="another"))
    assert JobType.objects.filter(pk=kind.pk).exists()
    assert not JobType.objects.filter(pk="another").exists()


def test_a_type_with_jobs_is_not_deleted_and_one_without_is(system_admin: Client) -> None:
    job = submit_job(make_job_type(), make_organization())
    page = system_admin.post(url("delete", job.job_type_id), {"post": "yes"})
    assert "has jobs" in page.content.decode()
    action = {"action": "delete_selected", "_selected_action": [job.job_type_id], "post": "yes"}
    system_admin.post(url("changelist"), action)
    assert JobType.objects.filter(pk=job.job_type_id).exists()
    free = make_job_type()
    assert system_admin.post(url("delete", free.pk), {"post": "yes"}).status_code == 302
    assert not JobType.objects.filter(pk=free.pk).exists()
    assert Job.objects.exists()
