"""Operators at the page of a batch, in Chromium: it follows what happens, and leads from what failed to its mending."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from django_jobs import create_batch
from django_jobs.models import Batch, Job, JobType, Organization
from django_jobs.testing import run_jobs
from tests.browser.conftest import Visit
from tests.support import verbs
from tests.support.brokers import end, raised, reread, returned, start
from tests.support.factories import make_job_type, make_user

pytestmark = [pytest.mark.usefixtures("broker"), pytest.mark.django_db(transaction=True)]


def operator() -> User:
    return make_user("root", is_staff=True, is_superuser=True)


def box(page: Page, job: Job) -> str:
    """What the box of a job says."""
    return page.locator(f'.djobs-node[href$="/job/{job.pk}/change/"]').get_attribute("aria-label") or ""


def family(organization: Organization) -> tuple[Batch, list[Job]]:
    """A batch of a job, three that wait for it, and one that waits for them."""
    kind = make_job_type(type_name="mails")
    batch = create_batch(organization, name="Newsletter")
    first = batch.submit(kind)
    middle = [batch.submit(kind, {"n": number}, depends_on=[first]) for number in range(3)]
    last = batch.submit(kind, {"n": 3}, depends_on=middle)
    batch.close()
    return batch, [first, *middle, last]


def test_open_pages_follow_counts_graph_and_failures_until_the_batch_is_mended(
    organization: Organization, visit: Visit
) -> None:
    _, jobs = family(organization)
    page = visit(operator(), "/admin/django_jobs/batch/")
    expect(page.get_by_text("0 of 5")).to_be_visible()
    end(returned(start(jobs[0])))
    verbs.follow_up()
    expect(page.get_by_text("1 of 5")).to_be_visible()
    page.get_by_role("link", name="Newsletter").click()
    expect(page.locator(".djobs-node")).to_have_count(5)
    assert box(page, jobs[0]).endswith("Completed; Others that wait for it: 3")

    end(raised(start(reread(jobs[1])), "Permanent", text="no such mailbox"))
    verbs.follow_up()
    expect(page.get_by_text("no such mailbox", exact=True)).to_be_visible()
    expect(page.locator(".djobs-node.djobs-completed")).to_have_count(1)
    expect(page.locator(".djobs-node.djobs-dead-letter")).to_have_count(2)

    JobType.objects.all().update(handler_method="tests.support.handlers.do_nothing")
    page.get_by_role("link", name="Retry failed").click()
    page.locator(".djobs-confirm [type=submit]").click()
    expect(page.locator(".messagelist .retried")).to_be_visible()
    run_jobs()
    verbs.count_batches()
    expect(page.locator(".djobs-batch-state .djobs-badge")).to_have_text("Completed")
    expect(page.locator(".djobs-node.djobs-completed")).to_have_count(5)
    expect(page.get_by_role("link", name="Cancel")).to_have_count(0)
    expect(page.locator("[data-djobs-over]")).to_have_count(1)


def test_the_graph_is_walked_by_keyboard_and_scrolls_inside_its_box(organization: Organization, visit: Visit) -> None:
    batch, jobs = family(organization)
    page = visit(operator(), f"/admin/django_jobs/batch/{batch.pk}/change/", viewport={"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    graph = page.locator(".djobs-graph")
    assert graph.evaluate("element => element.scrollWidth > element.clientWidth")
    graph.evaluate("element => { element.scrollLeft = 90; }")
    graph.focus()
    page.keyboard.press("Tab")
    first = page.locator(f'.djobs-node[href$="/job/{jobs[0].pk}/change/"]')
    expect(first).to_be_focused()
    end(returned(start(jobs[0])))
    expect(first).to_have_class("djobs-node djobs-completed")
    expect(first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{page.url.split('/admin/')[0]}/admin/django_jobs/job/{jobs[0].pk}/change/")
