"""The three tasks of an operator at night, each from the admin's index on, by few clicks."""

from __future__ import annotations

import re
from typing import Final

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from django_jobs import submit_job
from django_jobs.models import Alert, Job, JobType, Operation, Organization
from django_jobs.statuses import WITH_ERRORS, Status
from tests.browser.clicks import Clicks
from tests.browser.conftest import Visit
from tests.support import ticks, verbs
from tests.support.brokers import MemoryBroker, job_in
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.job_copies import copies_by_sql
from tests.support.waiting import wait_until
from tests.support.workers import ProcessPool

MANY: Final = 57_000
FAILING: Final = 20
#: Seconds for which a scheduler may take to count what failed, or to work off an operation.
LONG: Final = 300


@pytest.fixture
def down_broker(broker: MemoryBroker) -> None:
    """Let what waits stay Pending."""
    broker.is_down = True


def operator() -> User:
    return make_user("root", is_staff=True, is_superuser=True)


def count(status: str) -> int:
    return Job.objects.filter(status=status).count()


def work_off() -> None:
    """Work off the operations as a scheduler does, until none is open."""
    wait_until(
        lambda: ticks.work_off(verbs.OperationWork().step) == 0 and not _is_any_open(),
        LONG,
        "the end of the operations",
    )


def _is_any_open() -> bool:
    return Operation.objects.filter(state=Operation.State.RUNNING).exists()


def _told_failures() -> list[int]:
    """How many failures the open alarms on failing types tell of."""
    return [alert.facts["failed"] for alert in Alert.objects.filter(rule="type_failing", cleared_at=None)]


def act_on_all(page: Page, clicks: Clicks, action: str) -> None:
    clicks.on(page.locator(".djobs-all").get_by_role("link", name=action))


def test_failing_mails_are_found_and_fixed_by_two_clicks(
    organization: Organization, visit: Visit, processes: ProcessPool
) -> None:
    kind = make_job_type("fail_unexpectedly", type_name="mails", max_retries=0)
    for _ in range(FAILING):
        submit_job(kind, organization)
    processes.worker("--processes", "1")
    wait_until(lambda: count(Status.DEAD_LETTER) == FAILING, LONG, "dead letters")
    wait_until(lambda: _told_failures() == [FAILING], LONG, "the alarm of all of them")
    JobType.objects.filter(pk=kind.pk).update(handler_method="tests.support.handlers.do_nothing")

    page, clicks = visit(operator(), "/admin/"), Clicks()
    alarm = page.locator(".djobs-alarm", has_text="mails")
    expect(alarm).to_contain_text(str(FAILING))
    clicks.on(alarm.get_by_role("link", name="See failures"))
    expect(page.get_by_role("heading", name="ZeroDivisionError")).to_contain_text("secret text")
    expect(page.locator(".djobs-failure-frame")).to_contain_text("fail_unexpectedly")
    clicks.on(page.get_by_role("button", name=f"Retry all {FAILING}"))
    expect(page.locator(".djobs-badge", has_text="Done")).to_be_visible()
    assert clicks.count <= 2
    wait_until(lambda: count(Status.COMPLETED) == FAILING, LONG, "completed jobs")
    page.goto("/admin/django_jobs/failure/")
    expect(page.locator("[data-code=no_failure]")).to_be_visible()


@pytest.mark.usefixtures("down_broker")
def test_57000_waiting_jobs_are_canceled_by_four_clicks(organization: Organization, visit: Visit) -> None:
    kind = make_job_type(type_name="letters")
    others = [job_in(status, job_type=kind, organization=organization) for status in ("Completed", "Dead Letter")]
    pattern = job_in(Status.PENDING, job_type=kind, organization=organization)
    copies_by_sql(pattern, MANY - 1)

    page, clicks = visit(operator(), "/admin/"), Clicks()
    clicks.on(page.locator("#content-main").get_by_role("link", name="Jobs", exact=True))
    clicks.on(page.locator("#changelist-filter").get_by_role("link", name="Pending"))
    act_on_all(page, clicks, "Cancel")
    expect(page.locator("#content strong").first).to_contain_text("57,000")
    clicks.on(page.get_by_role("button", name="Cancel"))
    progress = page.locator("[data-djobs-part=progress]")
    expect(progress).to_contain_text("Jobs looked at: 0 of 57,000")
    expect(page.locator("[data-djobs-entry=operation]")).to_contain_text("1")
    assert clicks.count <= 4
    work_off()
    expect(progress).to_have_attribute("data-djobs-news-state", re.compile("^done "))
    assert count(Status.CANCELED) == MANY
    assert [Job.objects.get(pk=job.pk).status for job in others] == ["Completed", "Dead Letter"]


@pytest.mark.usefixtures("down_broker")
def test_the_failed_of_one_tenant_are_retried_by_four_clicks(organization: Organization, visit: Visit) -> None:
    neighbor, kind = make_organization(title="Elsewhere"), make_job_type(type_name="letters")
    for status in sorted(WITH_ERRORS):
        for tenant in (organization, neighbor):
            job_in(status, job_type=kind, organization=tenant)
    done = job_in(Status.COMPLETED, job_type=kind, organization=organization)

    page, clicks = visit(operator(), "/admin/"), Clicks()
    clicks.on(page.locator("#content-main").get_by_role("link", name="Organizations"))
    row = page.locator("#result_list tbody tr", has_text=organization.name)
    clicks.on(row.locator(".field-failed").get_by_role("link", name="3"))
    act_on_all(page, clicks, "Retry")
    expect(page.locator("#content strong").first).to_contain_text("3")
    clicks.on(page.get_by_role("button", name="Retry"))
    assert clicks.count <= 4
    work_off()
    expect(page.locator("[data-djobs-part=progress]")).to_contain_text("3")
    own = Job.objects.filter(organization=organization).exclude(pk=done.pk)
    assert list(own.values_list("status", flat=True)) == [Status.PENDING] * 3
    foreign = Job.objects.filter(organization=neighbor)
    assert set(foreign.values_list("status", flat=True)) == WITH_ERRORS
    assert Job.objects.get(pk=done.pk).status == Status.COMPLETED
