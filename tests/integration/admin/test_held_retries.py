"""A retry of a type that somebody or a breaker holds: it is said that the job waits, and the button helps."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from django_jobs.models import Breaker, JobType, Operation, Organization
from tests.support import admin
from tests.support.admin import codes_on, codes_said, said, text, url
from tests.support.breakers import open_by_failures
from tests.support.brokers import reread
from tests.support.factories import make_job_type
from tests.support.failures import die, group, press

pytestmark = pytest.mark.usefixtures("broker")

#: By how it is held: the code of the reason, and what the button posts, or where it leads.
HOLDS: dict[str, tuple[str, str]] = {
    "paused": ("type_paused", 'action="/admin/django_jobs/jobtype/mails/resume/"'),
    "disabled": ("type_disabled", 'action="/admin/django_jobs/jobtype/mails/enable/"'),
    "breaker": ("breaker", 'href="/admin/django_jobs/jobtype/mails/close_breaker/"'),
}


@pytest.fixture
def kind() -> JobType:
    return make_job_type(type_name="mails", breaker_failures=3)


def hold(kind: JobType, how: str) -> None:
    now = timezone.now()
    if how == "breaker":
        Breaker.objects.update_or_create(
            pk=kind.pk,
            defaults={"state": "Open", "opened_at": now, "next_try_at": now + dt.timedelta(hours=1), "failures": 3},
        )
    else:
        JobType.objects.filter(pk=kind.pk).update(is_paused=True, is_enabled=how != "disabled")


def button_in(message: str) -> tuple[str, dict[str, str]]:
    """Where the button of a message leads to, and what it posts."""
    address = re.search(r'<form method="post" action="([^"]+)"', message)
    assert address is not None
    fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', message)
    return address[1], dict(fields)


@pytest.mark.parametrize("how", HOLDS)
def test_it_is_said_before_and_after_that_the_job_waits(
    how: str, root: Client, kind: JobType, mine: Organization
) -> None:
    code, button = HOLDS[how]
    job = die(kind, mine)
    hold(kind, how)
    for page in (text(root, group(job)), text(root, url("failure", "changelist"))):
        assert code in codes_on(page)
        assert button in page
    answer = press(root, job, "retry_one")
    assert codes_said(answer) == [code]
    assert button in said(answer)[0]
    assert reread(job).status == "Pending"


@pytest.mark.parametrize(("how", "field"), [("paused", "is_paused"), ("disabled", "is_enabled")])
def test_the_button_of_the_message_ends_it(
    how: str, field: str, root: Client, kind: JobType, mine: Organization
) -> None:
    job = die(kind, mine)
    hold(kind, how)
    (message,) = said(press(root, job, "retry_one"))
    address, fields = button_in(message)
    assert fields.pop("csrfmiddlewaretoken")
    back = root.post(address, fields)
    assert getattr(JobType.objects.get(pk=kind.pk), field) == (field == "is_enabled")
    assert back["Location"] == url("job", "change", job.pk)


def test_the_button_of_the_message_passes_the_check_against_forged_requests(kind: JobType, mine: Organization) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(admin.superuser().get(url("job", "changelist")).context["user"])
    job = die(kind, mine)
    hold(kind, "paused")
    page = text(strict, group(job))
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert token is not None
    fields: dict[str, Any] = {"job_type": kind.pk, "error_fingerprint": job.error_fingerprint, "action": "retry_one"}
    (message,) = said(strict.post(url("failure", "act"), {**fields, "csrfmiddlewaretoken": token[1]}, follow=True))
    address, own = button_in(message)
    assert strict.post(address, own).status_code == 302
    assert not JobType.objects.get(pk=kind.pk).is_paused


@pytest.mark.parametrize("how", HOLDS)
def test_all_that_are_retried_are_said_to_wait(how: str, root: Client, kind: JobType, mine: Organization) -> None:
    job = die(kind, mine)
    hold(kind, how)
    code, button = HOLDS[how]
    answer = press(root, job, "retry_all")
    assert Operation.objects.count() == 1
    assert codes_said(answer) == ["started", code]
    assert button in said(answer)[1]


def test_nothing_is_said_where_nothing_holds_them(root: Client, kind: JobType, mine: Organization) -> None:
    job = die(kind, mine)
    assert codes_on(text(root, group(job))) == []
    assert codes_said(press(root, job, "retry_one")) == ["retried"]


def test_who_may_not_resume_is_told_and_gets_no_button(kind: JobType, mine: Organization) -> None:
    boss = admin.staff_of(mine, role="admin", permissions=["django_jobs.view_job"])
    job = die(kind, mine)
    hold(kind, "paused")
    assert url("jobtype", "resume", kind.pk) not in text(boss, group(job))
    answer = press(boss, job, "retry_one")
    assert codes_said(answer) == ["type_paused"]
    assert "<form" not in said(answer)[0]
    assert boss.post(url("jobtype", "enable", kind.pk)).status_code == 403


def test_of_a_suspended_organization_it_is_said_too(root: Client, kind: JobType, mine: Organization) -> None:
    job = die(kind, mine)
    Organization.objects.filter(pk=mine.pk).update(is_active=False)
    assert codes_said(press(root, job, "retry_one")) == ["organization_inactive"]


def test_a_breaker_of_one_organization_holds_no_group_of_another(
    root: Client, kind: JobType, mine: Organization, theirs: Organization
) -> None:
    open_by_failures(kind, mine)
    die(kind, theirs, "another error")
    rows = root.get(url("failure", "changelist")).context["rows"]
    held = {row["newest"].organization_id: row["held_code"] for row in rows}
    assert held == {mine.pk: "breaker", theirs.pk: ""}
