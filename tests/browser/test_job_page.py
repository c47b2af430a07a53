"""The open page of a job, in Chromium, against a real server: it stays true, or says that it is not."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect

from django_jobs.models import AttemptLog, Job, Organization
from tests.browser.conftest import Visit
from tests.browser.site import Site
from tests.support.brokers import end, pending_job, raised, reread, returned, running_job, start
from tests.support.deletions import delete_jobs
from tests.support.factories import make_job_type, make_user
from tests.support.statements import elsewhere

pytestmark = pytest.mark.usefixtures("broker")

TRACE = 'Traceback (most recent call last):\n  File "mails.py", line 12, in send\n    smtp.send(x)\nOSError: no route\n'


def operator() -> User:
    return make_user("root", is_staff=True, is_superuser=True)


def page_of(job: Job) -> str:
    return f"/admin/django_jobs/job/{job.pk}/change/"


def failed(organization: Organization) -> Job:
    _, claimed = running_job(organization=organization, job_type=make_job_type(type_name="send_mail"))
    return end(raised(claimed, "Permanent", text="OSError", traceback=TRACE))


def test_what_failed_is_read_first_on_a_phone(organization: Organization, visit: Visit) -> None:
    job = failed(organization)
    page = visit(operator(), page_of(job), viewport={"width": 390, "height": 900})
    error = page.get_by_role("region", name="OSError: no route")
    expect(error.get_by_text("smtp.send(x)").first).to_be_in_viewport()
    expect(error.get_by_role("link", name="Retry")).to_be_in_viewport()
    expect(error.locator("[data-code=permanent]")).to_be_in_viewport()


def test_a_job_that_is_deleted_meanwhile_is_said_to_be(organization: Organization, visit: Visit) -> None:
    job = failed(organization)
    page = visit(operator(), page_of(job))
    page.get_by_role("link", name="Retry").focus()
    elsewhere(delete_jobs, [job.pk])
    expect(page.get_by_role("alert")).to_contain_text("This job was deleted meanwhile.")
    expect(page.get_by_role("alert")).to_be_focused()
    expect(page.get_by_role("link", name="Retry")).to_have_count(0)
    page.get_by_role("alert").get_by_role("link", name="Jobs").click()
    expect(page).to_have_url(f"{page.url.partition('/admin/')[0]}/admin/django_jobs/job/")


def test_a_page_that_cannot_ask_says_so_and_goes_on_once_it_can(
    organization: Organization, visit: Visit, site: Site
) -> None:
    job, claimed = running_job(organization=organization)
    page = visit(operator(), page_of(job))
    site.kill()
    state = page.locator("[data-djobs-state]")
    expect(state).to_have_text(str(state.get_attribute("data-djobs-late")))
    end(returned(claimed))
    site.start()
    expect(page.locator(".djobs-heading .djobs-badge")).to_have_text("Completed")
    expect(state).to_have_text("")


def test_a_lost_live_connection_is_told_while_the_page_goes_on(organization: Organization, visit: Visit) -> None:
    job, claimed = running_job(organization=organization)
    page = visit(operator(), "/admin/")
    page.route_web_socket("**/ws/jobs/", lambda socket: socket.close())
    page.goto(page_of(job))
    state = page.locator("[data-djobs-state]")
    expect(state).to_have_text(str(state.get_attribute("data-djobs-lost")))
    end(returned(claimed))
    expect(page.locator(".djobs-heading .djobs-badge")).to_have_text("Completed")


def test_progress_is_followed(organization: Organization, visit: Visit) -> None:
    job, _ = running_job(organization=organization)
    page = visit(operator(), page_of(job))
    expect(page.locator("[data-djobs-state]")).to_have_text("")
    Job.objects.filter(pk=job.pk).update(progress=40, progress_message="half way")
    expect(page.locator(f"[data-djobs-message='{job.pk}']")).to_have_text("half way")


def test_whoever_is_logged_out_is_told_that_nothing_is_updated(organization: Organization, visit: Visit) -> None:
    job, _ = running_job(organization=organization)
    page = visit(operator(), page_of(job))
    page.context.clear_cookies()
    state = page.locator("[data-djobs-state]")
    expect(state).to_have_text(str(state.get_attribute("data-djobs-out")))


def test_the_relatives_of_an_ended_job_are_followed(organization: Organization, visit: Visit) -> None:
    parent = pending_job(make_job_type(), organization)
    child = pending_job(parent.job_type, organization, depends_on=[parent])
    end(returned(start(parent)))
    page = visit(operator(), page_of(parent))
    box = page.locator(f".djobs-node[href='{page_of(child)}']")
    expect(box).to_contain_text("Queued")
    end(returned(start(reread(child))))
    expect(box).to_contain_text("Completed")


def test_a_change_is_read_out_with_its_reason(organization: Organization, visit: Visit) -> None:
    job, claimed = running_job(organization=organization)
    page = visit(operator(), page_of(job))
    expect(page.locator("[data-djobs-said]")).to_have_text("")
    end(raised(claimed, "Permanent", text="no such printer"))
    expect(page.locator("[data-djobs-said]")).to_have_text(f"{job.name}: Dead Letter. no such printer")


def test_what_is_unfolded_stays_so_while_an_attempt_grows(organization: Organization, visit: Visit) -> None:
    job = pending_job(organization=organization)
    end(raised(start(job), text="OSError", traceback=TRACE))
    line = [job.created_at.timestamp(), "ERROR", "shop.mails", "the printer is out"]
    AttemptLog.objects.create(job_id=job.pk, attempt=1, first_lines=[line])
    start(reread(job))
    page = visit(operator(), page_of(job))
    fold = page.locator("[data-djobs-fold='log 1']")
    fold.locator("summary").click()
    fold.locator("summary").focus()
    running = page.locator(".djobs-attempts tbody tr").first.locator("td").nth(3)
    before = running.text_content() or ""
    expect(running).not_to_have_text(before)
    expect(page.get_by_text("the printer is out")).to_be_visible()
    expect(fold.locator("summary")).to_be_focused()
