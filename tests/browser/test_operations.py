"""Acting on all jobs that match, by a few clicks, and following what becomes of them without a reload."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from django_jobs.engine.control import operation_work
from django_jobs.models import Job, Organization
from django_jobs.statuses import Status
from tests.browser.conftest import Visit
from tests.support.brokers import pending_job
from tests.support.factories import make_job_type, make_user
from tests.support.failures import die


@pytest.mark.usefixtures("broker")
def test_all_waiting_jobs_are_canceled_by_three_clicks(organization: Organization, visit: Visit) -> None:
    kind = make_job_type(type_name="letters")
    for _ in range(3):
        pending_job(job_type=kind, organization=organization)
    Job.objects.update(status=Status.PENDING)
    page = visit(make_user("operator", is_staff=True, is_superuser=True), "/admin/django_jobs/job/")
    page.locator("#changelist-filter").get_by_role("link", name="Pending").click()
    page.locator(".djobs-all").get_by_role("link", name="Cancel").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("[data-djobs-part=progress]")).to_contain_text("0 of 3 looked at")
    operation_work.work_off()
    expect(page.locator("[data-djobs-part=progress]")).to_contain_text("3 jobs canceled", timeout=30_000)
    assert set(Job.objects.values_list("status", flat=True)) == {Status.CANCELED}


@pytest.mark.usefixtures("broker")
def test_the_failed_of_one_tenant_are_retried_by_four_clicks(organization: Organization, visit: Visit) -> None:
    own = die(make_job_type(type_name="letters"), organization)
    page = visit(make_user("operator", is_staff=True, is_superuser=True), "/admin/django_jobs/job/")
    filters = page.locator("#changelist-filter")
    filters.get_by_role("link", name="Dead Letter").click()
    filters.get_by_role("link", name=organization.name).click()
    page.locator(".djobs-all").get_by_role("link", name="Retry").click()
    page.get_by_role("button", name="Retry").click()
    expect(page.locator("[data-djobs-part=progress]")).to_contain_text("0 of 1 looked at")
    operation_work.work_off()
    own.refresh_from_db()
    assert own.status != Status.DEAD_LETTER
