"""The list of jobs in Chromium: read on a phone, searched, narrowed by what stands in it, and kept up to date."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect

from django_jobs.models import Operation, Organization
from tests.browser.conftest import Visit
from tests.support import ticks, verbs
from tests.support.brokers import end, job_in, pending_job, raised, running_job, start
from tests.support.factories import make_job_type, make_user
from tests.support.job_copies import copies_by_sql
from tests.support.waiting import wait_until

LIST = "/admin/django_jobs/job/"


def operator() -> User:
    return make_user("root", is_staff=True, is_superuser=True)


def test_the_links_of_a_card_are_large_enough_for_a_thumb(organization: Organization, visit: Visit) -> None:
    job_in("Dead Letter", organization=organization)
    page = visit(operator(), LIST, viewport={"width": 390, "height": 800})
    links = page.locator("#result_list tbody a:visible")
    sizes = links.evaluate_all("links => links.map(link => link.getBoundingClientRect().height)")
    assert len(sizes) == 4
    assert min(sizes) >= 24


def test_an_operator_finds_what_failed_by_a_type_and_its_error_and_keeps_the_filter(
    organization: Organization, visit: Visit
) -> None:
    kind = make_job_type(type_name="letter_welcome")
    failed = end(raised(start(pending_job(kind, organization)), "Permanent", text="No route to the printer"))
    pending_job(make_job_type(type_name="report"), organization)
    page = visit(operator(), LIST)
    page.get_by_role("textbox", name="Search").fill("letter")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("status").first).to_contain_text("Type: letter_welcome")
    expect(page.locator("#result_list tbody tr")).to_have_count(1)
    page.get_by_role("link", name="Dead Letter 1").click()
    page.get_by_text("Save this filter").click()
    page.get_by_label("Name").fill("Letters that died")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("link", name="Jobs", exact=True).first.click()
    page.get_by_role("link", name="Letters that died").click()
    expect(page.locator("#result_list tbody tr")).to_have_count(1)
    page.get_by_role("link", name="No route to the printer").click()
    expect(page.get_by_text("No route to the printer").first).to_be_visible()
    assert f"fingerprint={failed.error_fingerprint}" in page.url


def test_the_error_of_a_job_that_fails_appears_in_the_open_list(organization: Organization, visit: Visit) -> None:
    job, claimed = running_job(organization=organization)
    page = visit(operator(), LIST)
    error = page.locator(f'[data-djobs-error="{job.pk}"]')
    expect(error).to_have_text("")
    end(raised(claimed, "Permanent", text="No route to the printer"))
    expect(error).to_have_text("No route to the printer")
    error.click()
    expect(page.get_by_text("No route to the printer").first).to_be_visible()
    assert "/failure/group/" in page.url


@pytest.mark.usefixtures("broker")
def test_a_typed_rate_tells_how_long_it_takes_and_the_list_follows_what_is_under_way(
    organization: Organization, visit: Visit
) -> None:
    kind = make_job_type(type_name="letters")
    copies_by_sql(pending_job(job_type=kind, organization=organization), 599)
    page = visit(operator(), f"{LIST}all/cancel/?job_type=letters")
    expect(page.get_by_text("Jobs: 600", exact=True)).to_be_visible()
    expect(page.get_by_role("status")).to_contain_text("That takes about 1.0 s where nothing slows it down.")
    page.get_by_label("Jobs a minute").fill("60")
    expect(page.get_by_role("status")).to_have_text("At this rate that takes about 10 min.")
    page.get_by_role("button", name="Cancel").click()
    page.goto(f"{LIST}?job_type=letters")
    told = page.get_by_role("region", name="Under way")
    expect(told).to_contain_text("Under way:")
    Operation.objects.update(per_minute=None)
    wait_until(lambda: not ticks.work_off(verbs.OperationWork().step), 60, "the end of the operation")
    expect(told).to_contain_text("Under way: nothing")
