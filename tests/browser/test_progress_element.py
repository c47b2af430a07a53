"""<job-progress> when something comes late, fails, or goes away; in Chromium, against a real server."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from django_jobs import submit_job
from django_jobs.models import Job, Organization
from tests.browser.conftest import Visit
from tests.browser.steps import Steps
from tests.support.brokers import job_in
from tests.support.factories import make_user
from tests.support.waiting import wait_until

OFFLINE = "No connection: this may have changed since."


@pytest.fixture
def admin(organization: Organization) -> User:
    return make_user(admin_of=[organization])


def dead_job(organization: Organization, text: str = "The printer is on fire.") -> Job:
    job = job_in("Dead Letter", job_type="pdf_generation", organization=organization)
    Job.objects.filter(pk=job.pk).update(error_message=text)
    return job


def add_element(page: Page, job: Job, state: dict[str, Any]) -> None:
    """An element of a page's own script, which listens to the job's room."""
    address = page.url.replace("http", "ws").partition("/shop")[0] + "/ws/jobs/"
    page.evaluate(
        """attributes => {
            const element = document.createElement("job-progress");
            for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
            document.body.append(element);
        }""",
        {"id": "mine", "job-id": job.name, "ws-url": address, "job": json.dumps(state)},
    )


def test_a_page_that_comes_late_shows_the_end_its_text_and_its_count(
    organization: Organization, visit: Visit, steps: Steps
) -> None:
    job = submit_job("pdf_generation", organization)
    steps.let(100)
    wait_until(lambda: Job.objects.get(pk=job.pk).status == "Completed", 60, "the report")
    page = visit(make_user(member_of=[organization]))
    # Without an address of REST: what the join tells must do.
    add_element(page, job, {"job_id": job.name, "status": "Queued", "attempt": 0, "progress": 0})

    expect(page.locator("#mine [part=status]")).to_have_text("Completed")  # without REST there is no file to be had
    expect(page.locator("#mine [part=percent]")).to_have_text("100 %")
    expect(page.locator("#mine [part=message]")).to_have_text("At step 100")
    expect(page.locator("#mine [part=time]")).to_contain_text(":")


def test_a_job_that_was_rendered_as_queued_shows_its_seconds_once_it_runs(
    organization: Organization, visit: Visit, steps: Steps
) -> None:
    page = visit(make_user(member_of=[organization]))
    page.get_by_role("button", name="Make the PDF").click()
    steps.let(1)

    expect(page.locator(".job [part=time]")).to_have_text(re.compile(r"\b\d+:\d\d\b"))


def test_a_cancel_that_does_not_reach_the_server_is_said(organization: Organization, visit: Visit, admin: User) -> None:
    submit_job("pdf_generation", organization)
    page = visit(admin)
    page.route("**/cancel/", lambda route: route.abort())
    button = page.get_by_role("button", name="Cancel: Sales report as PDF")
    button.click()

    expect(page.locator("[part=message]")).to_have_text("It could not be canceled: there is no connection, try again.")
    expect(button).to_have_attribute("aria-disabled", "false")


def test_without_a_network_the_page_says_so_and_comes_back(
    organization: Organization, visit: Visit, admin: User
) -> None:
    submit_job("pdf_generation", organization)
    page = visit(admin)
    expect(page.locator("[part=message]")).to_have_text("")
    page.context.set_offline(True)
    expect(page.locator("[part=message]")).to_have_text(OFFLINE)
    page.context.set_offline(False)

    expect(page.locator("[part=message]")).to_have_text("")


def test_a_job_that_did_not_complete_is_tried_again_by_a_click_and_the_focus_stays_with_it(
    organization: Organization, visit: Visit, admin: User
) -> None:
    job = dead_job(organization)
    page = visit(admin)
    expect(page.locator("[part=status]")).to_have_text("Did not complete")
    button = page.get_by_role("button", name=f"Try again: Sales report as PDF, {job.name}")
    button.focus()
    page.keyboard.press("Enter")

    expect(page.locator("[part=status]")).to_have_text("Waiting for its turn")
    expect(button).to_be_hidden()
    expect(page.locator("[part=status]")).to_be_focused()


def test_members_see_no_way_to_try_again(organization: Organization, visit: Visit) -> None:
    dead_job(organization)
    page = visit(make_user(member_of=[organization]))
    expect(page.locator("[part=message]")).to_have_text("The printer is on fire.")

    expect(page.locator("[part=retry]")).to_be_hidden()


def test_an_error_as_long_as_a_page_takes_three_lines(organization: Organization, visit: Visit, admin: User) -> None:
    dead_job(organization, "Nothing but trouble. " * 1_000)
    page = visit(admin, viewport={"width": 400, "height": 800})
    message = page.locator("[part=message]")
    expect(message).to_contain_text("Nothing but trouble.")

    height = "element => element.clientHeight / parseFloat(getComputedStyle(element).lineHeight)"
    assert round(message.evaluate(height)) == 3
    assert page.evaluate("document.documentElement.scrollWidth") == 400
