"""<batch-progress> as a page shows it; in Chromium, against a real server and a real worker."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from django_jobs import create_batch
from django_jobs.models import Batch, Organization
from django_jobs.testing import run_jobs
from tests.browser.conftest import Visit
from tests.browser.steps import Steps
from tests.support.batches import make_batch
from tests.support.factories import make_user


@pytest.fixture
def admin(organization: Organization) -> User:
    return make_user(admin_of=[organization])


def reports(organization: Organization, count: int = 3) -> Batch:
    """A batch of jobs that go on when the test lets them."""
    with create_batch(organization) as batch:
        batch.submit_many([{"job_type": "pdf_generation", "unique_key": str(number)} for number in range(count)])
    return batch


def shown(page: Page, part: str) -> Any:
    return page.locator(f"batch-progress [part={part}]")


def test_a_batch_is_followed_to_its_end(organization: Organization, visit: Visit, steps: Steps) -> None:
    page = visit(make_user(member_of=[organization]), f"/batch/{reports(organization).batch_id}/")
    bar = page.get_by_role("progressbar", name="Invoices")
    expect(bar).to_have_attribute("aria-valuetext", "Running, 0 %, 0 of 3 done")
    steps.let(100)

    expect(shown(page, "status")).to_have_text("Completed")
    expect(shown(page, "message")).to_have_text("3 of 3 done")
    expect(bar).to_have_attribute("aria-valuenow", "100")
    expect(page.get_by_role("status")).to_have_text("Invoices: Completed, 3 of 3 done")
    expect(page.get_by_role("button")).to_have_count(0)


def test_it_is_canceled_by_a_click_and_the_focus_stays_with_it(
    organization: Organization, visit: Visit, steps: Steps, admin: User
) -> None:
    page = visit(admin, f"/batch/{reports(organization).batch_id}/")
    button = page.get_by_role("button", name="Cancel: Invoices")
    button.focus()
    page.keyboard.press("Enter")

    expect(shown(page, "status")).to_have_text("Canceled")
    expect(shown(page, "message")).to_have_text("0 of 3 done, 3 canceled")
    expect(button).to_be_hidden()
    expect(shown(page, "status")).to_be_focused()


def test_what_failed_of_it_is_tried_again_by_a_click(organization: Organization, visit: Visit, admin: User) -> None:
    batch = make_batch(organization, "Completed", "Dead Letter")
    run_jobs()
    page = visit(admin, f"/batch/{batch.batch_id}/")
    expect(shown(page, "message")).to_have_text("1 of 2 done, 1 failed")
    button = page.get_by_role("button", name="Try again: Invoices")
    button.click()

    expect(shown(page, "status")).to_have_text("Running")
    expect(shown(page, "message")).to_have_text("1 of 2 done")
    expect(button).to_be_hidden()


def test_a_page_that_comes_late_without_rest_is_told_by_its_join(
    organization: Organization, visit: Visit, admin: User
) -> None:
    page = visit(admin)
    page.evaluate(
        """attributes => {
            const element = document.createElement("batch-progress");
            for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
            document.body.append(element);
        }""",
        {
            "batch-id": reports(organization).batch_id,
            "ws-url": page.url.replace("http", "ws").partition("/shop")[0] + "/ws/jobs/",
        },
    )
    ours = page.locator("body > batch-progress")  # the page itself soon shows the batch, too
    expect(ours.locator("[part=message]")).to_have_text("0 of 3 done")
    expect(ours.get_by_role("progressbar")).to_have_attribute("aria-valuetext", "Running, 0 %, 0 of 3 done")
