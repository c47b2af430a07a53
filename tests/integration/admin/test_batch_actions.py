"""Buttons of a batch's page: each asks first, and the engine decides who may."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.utils.html import strip_tags
from pytest_django import Settings

from django_jobs import AccessPolicy, create_batch
from django_jobs.models import Batch, Job, JobType, Organization
from django_jobs.testing import run_jobs
from tests.support import admin
from tests.support.admin import actors, codes_on, codes_said, fact_on, said, text, url
from tests.support.batches import make_batch, state, tick
from tests.support.factories import make_job_type, make_user

pytestmark = pytest.mark.usefixtures("broker")

VIEW = ["django_jobs.view_job"]


def press(client: Client, verb: str, batch: Batch) -> Any:
    return client.post(url("batch", verb, batch.pk), follow=True)


def asks(client: Client, verb: str, batch: Batch) -> list[str]:
    """The numbers of jobs that the page that asks tells of."""
    page = client.get(url("batch", verb, batch.pk))
    assert codes_on(page) == ["consequence"]
    return re.findall(r"\d+", strip_tags(" ".join(map(str, page.context["consequences"]))))


@pytest.fixture
def boss(mine: Organization) -> Client:
    """Staff who manages one organization."""
    return admin.staff_of(mine, role="admin", permissions=VIEW)


def test_cancel_asks_first_and_says_how_many_it_is_about(boss: Client, mine: Organization) -> None:
    batch = make_batch(mine, "Completed", "Completed")
    assert asks(boss, "cancel", batch) == ["2"]
    assert state(batch) == "Running"
    assert codes_said(press(boss, "cancel", batch)) == ["canceled"]
    tick()
    assert state(batch) == "Canceled"
    assert actors(batch) == ["admin"]


class NobodyCancels(AccessPolicy):
    """Lets nobody cancel a single job."""

    def can_cancel(self, user: Any, job: Job) -> bool:
        return False


def test_a_cancel_says_how_many_jobs_the_hosts_policy_keeps_from_it(
    boss: Client, mine: Organization, settings: Settings
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": f"{__name__}.NobodyCancels"}
    batch = make_batch(mine, "Completed", "Completed")
    answer = press(boss, "cancel", batch)
    assert codes_said(answer) == ["canceled"]
    page = answer.content.decode()
    assert fact_on(page, "kept").strip() == "2"
    assert "<time" in fact_on(page, "canceled_on"), "the moment, and not how many jobs are canceled"


def test_retry_runs_what_failed_again(boss: Client, mine: Organization) -> None:
    batch = make_batch(mine, "Completed", "Dead Letter")
    run_jobs()
    assert asks(boss, "retry", batch) == ["1"]
    assert codes_said(press(boss, "retry", batch)) == ["retried"]
    assert state(batch) == "Running"


def test_close_ends_an_open_batch(boss: Client, mine: Organization) -> None:
    batch = make_batch(mine, "Completed", close=False)
    run_jobs()
    press(boss, "close", batch)
    assert state(batch) == "Completed"


def test_what_follows_is_submitted_once_the_cause_is_mended(boss: Client, mine: Organization) -> None:
    later = make_job_type()
    batch = make_batch(mine, "Completed", then={"job_type": later.pk})
    JobType.objects.filter(pk=later.pk).update(is_enabled=False)
    run_jobs()
    assert codes_said(press(boss, "follow-up", batch)) == ["not_submitted"]
    assert Batch.objects.get(pk=batch.pk).then_job_id is None
    JobType.objects.filter(pk=later.pk).update(is_enabled=True)
    assert codes_said(press(boss, "follow-up", batch)) == ["submitted"]
    assert Batch.objects.get(pk=batch.pk).then_job_id is not None


def test_who_comes_too_late_is_told(boss: Client, mine: Organization) -> None:
    batch = make_batch(mine, "Completed")
    run_jobs()
    assert codes_on(text(boss, url("batch", "cancel", batch.pk))) == ["nothing_to_do"]
    answer = press(boss, "cancel", batch)
    assert codes_said(answer) == ["invalid_transition"]
    assert "Completed" in said(answer)[0]
    assert actors(batch) == []


def test_whoever_only_sees_a_batch_is_offered_nothing(mine: Organization) -> None:
    batch = make_batch(mine, "Completed", "Dead Letter", close=False)
    run_jobs()
    member = admin.staff_of(mine, permissions=VIEW)
    assert member.get(url("batch", "change", batch.pk)).context["switches"] == []
    for verb in ("cancel", "retry", "close", "follow-up"):
        assert press(member, verb, batch).status_code == 403
    assert state(batch) == "Open"


def test_its_owner_closes_and_cancels_it(mine: Organization) -> None:
    owner = make_user("otto", member_of=[mine], permissions=VIEW, is_staff=True)
    batch = create_batch(mine, user=owner)
    client = admin.client_of(owner)
    buttons = client.get(url("batch", "change", batch.pk)).context["switches"]
    assert [address for _, address, _ in buttons] == [url("batch", verb, batch.pk) for verb in ("close", "cancel")]
    press(client, "cancel", batch)
    assert state(batch) == "Canceled"
    failed = make_batch(mine, "Dead Letter", user=owner)
    run_jobs()
    assert client.get(url("batch", "change", failed.pk)).context["switches"] == []
    assert press(client, "retry", failed).status_code == 403


def test_a_retry_that_a_type_forbids_says_so(boss: Client, mine: Organization) -> None:
    batch = create_batch(mine)
    batch.submit(make_job_type("fail_for_good", type_name="printing", requires_permission="django_jobs.nobody_has"))
    batch.close()
    run_jobs()
    answer = press(boss, "retry", batch)
    assert codes_said(answer) == ["permission_denied"]
    assert "printing" in said(answer)[0]
