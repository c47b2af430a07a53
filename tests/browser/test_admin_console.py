"""Operators at the admin, in Chromium, against a real server and a real worker."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Locator, Page, Route, expect

from django_jobs import retry_job, submit_job
from django_jobs.models import Job, JobType, Organization, Worker
from tests.browser.conftest import Visit
from tests.support import verbs
from tests.support.admin import VIEWS, url
from tests.support.attempts import FreeRunner
from tests.support.breakers import make_fragile_type
from tests.support.brokers import end, raised, reread, returned, running_job
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.failures import die
from tests.support.statements import elsewhere
from tests.support.waiting import wait_until
from tests.support.workers import ProcessPool

HANDLERS = "tests.support.handlers"


def operator() -> User:
    return make_user("root", is_staff=True, is_superuser=True)


def count(status: str) -> int:
    return Job.objects.filter(status=status).count()


def tile(page: Page, name: str) -> Locator:
    return page.locator(".djobs-tile", has=page.get_by_text(name, exact=True)).locator("dd").first


def fail(count_of_jobs: int, organization: Organization, processes: ProcessPool) -> JobType:
    """So many jobs that died since something is wrong, which is mended by now."""
    kind = make_job_type("fail_unexpectedly", type_name="crm_sync", max_retries=0)
    for _ in range(count_of_jobs):
        submit_job(kind, organization)
    processes.worker("--processes", "1")
    wait_until(lambda: count("Dead Letter") == count_of_jobs, 30, f"{count_of_jobs} dead letters")
    JobType.objects.filter(pk=kind.pk).update(handler_method=f"{HANDLERS}.do_nothing")
    return kind


def test_one_is_retried_first_and_then_all_at_a_rate(
    organization: Organization, visit: Visit, processes: ProcessPool
) -> None:
    fail(3, organization, processes)
    page = visit(operator(), "/admin/django_jobs/failure/")
    page.get_by_role("button", name="Retry one").click()
    expect(page.locator(".djobs-heading .djobs-completed")).to_be_visible()
    page.goto("/admin/django_jobs/failure/")
    page.locator(".djobs-failure-more summary").click()
    page.get_by_role("button", name="Retry all of these").click()
    page.get_by_label("Jobs a minute").fill("6000")
    page.locator(".djobs-operate [type=submit]").click()
    wait_until(lambda: count("Completed") == 3, 30, "three completed jobs")


def test_an_open_page_of_failures_tells_of_new_ones_and_keeps_open_what_was_opened(
    organization: Organization, visit: Visit
) -> None:
    kind = make_job_type(type_name="mails")
    for _ in range(2):
        die(kind, organization)
    page = visit(operator(), "/admin/django_jobs/failure/")
    page.clock.install()
    page.reload()
    page.locator(".djobs-failure-more summary").click()
    opened = page.get_by_role("button", name="Pause the type")
    expect(page.get_by_text("Jobs: 2", exact=True)).to_be_visible()
    die(kind, organization)
    page.clock.fast_forward(16_000)
    expect(page.get_by_text("Jobs: 3", exact=True)).to_be_visible()
    expect(opened).to_be_visible()


def test_what_killed_jobs_is_read_on_a_phone_without_scrolling_sideways(
    organization: Organization, visit: Visit
) -> None:
    kind = make_job_type(type_name="letter_of_customers")
    text = "The printer at https://printers.example.com/" + "a-very-long-name-" * 9
    job, claimed = running_job(job_type=kind, organization=organization)
    end(raised(claimed, "Permanent", text=text))
    page = visit(operator(), "/admin/django_jobs/failure/", viewport={"width": 390, "height": 800})
    error = page.get_by_role("link", name="The printer at")
    assert_is_within(390, error)
    error.click()
    for cell in (page.locator(".djobs-table a").first, page.locator(".djobs-table time").first):
        assert_is_within(390, cell)
    expect(page.locator(".djobs-table a").first).to_have_text(job.name)
    JobType.objects.filter(pk=kind.pk).update(handler_method=f"{HANDLERS}.whose_name_says_what_becomes_of_it")
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto(url("jobtype", "change", kind.pk))
    assert page.get_by_label("Handler method").evaluate("field => field.scrollWidth <= field.clientWidth")


def assert_is_within(width: int, item: Locator) -> None:
    box = item.bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= width - 5
    assert box["height"] > 0


def test_an_operator_pauses_a_type_and_sees_it_hold(
    organization: Organization, visit: Visit, processes: ProcessPool
) -> None:
    kind = make_job_type(type_name="mails")
    processes.worker("--processes", "1")
    page = visit(operator(), url("jobtype", "change", kind.pk))
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".messagelist .paused")).to_contain_text("mails")
    held = submit_job(kind, organization)
    passing = submit_job(make_job_type(), organization)
    wait_until(lambda: Job.objects.get(pk=passing.pk).status == "Completed", 30, "a job of another type")
    page.goto("/admin/django_jobs/monitor/")
    expect(page.locator("[data-code=type_paused]")).to_contain_text("mails")
    expect(tile(page, "Waiting")).to_have_text("1")

    page.goto(url("jobtype", "change", kind.pk))
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".messagelist .resumed")).to_contain_text("mails")
    page.goto(f"/admin/django_jobs/job/{held.pk}/change/")
    expect(page.locator(".djobs-badge", has_text="Completed").first).to_be_visible()


def test_an_operator_closes_a_breaker_on_a_phone(organization: Organization, visit: Visit) -> None:
    kind = make_fragile_type(type_name="send_fax", breaker_failures=1)
    error = f"No answer of https://fax.example.com/{'a-very-long-name-' * 9}"
    end(raised(running_job(job_type=kind, organization=organization)[1], text=error))
    page = visit(operator(), "/admin/django_jobs/monitor/", viewport={"width": 390, "height": 800})
    assert_is_within(390, page.locator(".djobs-notices [data-code=breaker_open]", has_text="send_fax"))
    page.get_by_role("button", name="Close now").click()
    assert_is_within(390, page.get_by_text("No answer of https://fax.example.com"))
    page.locator(".djobs-confirm [type=submit]").click()
    expect(page.locator(".messagelist .closed")).to_contain_text("send_fax")
    expect(page.locator("[data-code=breaker_open]")).to_have_count(0)


def test_an_open_monitor_follows_what_happens(organization: Organization, visit: Visit, processes: ProcessPool) -> None:
    kind = make_job_type("fail_for_good")
    processes.worker("--processes", "1")
    page = visit(operator(), "/admin/django_jobs/monitor/")
    expect(tile(page, "Dead letters")).to_have_text("0")
    submit_job(kind, organization)

    expect(tile(page, "Dead letters")).to_have_text("1")


@pytest.mark.usefixtures("broker")
def test_a_job_that_ends_while_its_page_is_sent_is_shown_as_ended(organization: Organization, visit: Visit) -> None:
    job, claimed = running_job(organization=organization)
    page = visit(operator(), "/admin/")

    def end_it(route: Route) -> None:
        sent = route.fetch()
        elsewhere(end, returned(claimed, {"answer": "forty-two"}))
        route.fulfill(response=sent)

    page.route("**/change/", end_it, times=1)
    page.goto(f"/admin/django_jobs/job/{job.pk}/change/")

    expect(page.locator(".djobs-heading .djobs-badge")).to_have_text("Completed")
    expect(page.get_by_text("forty-two")).to_be_visible()
    expect(page.get_by_role("link", name="Cancel")).to_have_count(0)
    expect(page.get_by_role("link", name="Run again")).to_be_visible()


@pytest.mark.usefixtures("broker")
def test_an_open_page_of_a_job_follows_its_attempts_buttons_and_second_life(
    organization: Organization, visit: Visit
) -> None:
    job, claimed = running_job(organization=organization)
    page = visit(operator(), f"/admin/django_jobs/job/{job.pk}/change/")
    expect(page.get_by_role("link", name="Cancel")).to_be_visible()
    page.get_by_role("link", name="History").focus()
    end(raised(claimed, "Permanent", text="no such printer", traceback="Traceback of it"))
    expect(page.get_by_role("link", name="Retry")).to_be_visible()
    expect(page.get_by_role("link", name="Cancel")).to_have_count(0)
    expect(page.get_by_text("no such printer").first).to_be_visible()
    expect(page.get_by_role("link", name="History")).to_be_focused()
    page.locator("[data-djobs-fold='attempt 1'] summary").click()

    retry_job(reread(job))
    expect(page.get_by_role("link", name="Retry")).to_have_count(0)
    expect(page.get_by_text("Traceback of it")).to_be_visible()


@pytest.mark.usefixtures("broker")
def test_an_open_page_of_a_job_follows_its_steps_and_leaves_folds_as_they_are(
    organization: Organization, visit: Visit
) -> None:
    job, claimed = running_job(organization=organization)
    context = verbs.context_for(claimed, FreeRunner())
    # In a thread of its own: Playwright runs a loop in this one, in which steps are refused.
    elsewhere(lambda: context.step("charge the card", lambda: "x" * 200))
    page = visit(operator(), f"/admin/django_jobs/job/{job.pk}/change/")
    page.locator("[data-djobs-fold='step 1'] summary").click()

    context.checkpoint = {"cursor": "behind row 4711"}
    elsewhere(context.save_checkpoint)
    expect(page.get_by_text("behind row 4711")).to_be_visible()
    page.locator("[data-djobs-fold=checkpoint] > summary").click()
    elsewhere(lambda: context.step("book it", lambda: "entry 9"))
    expect(page.get_by_text("entry 9")).to_be_visible()
    expect(page.locator("[data-djobs-fold='step 1']")).to_have_attribute("open", "")
    expect(page.get_by_text("behind row 4711")).to_be_hidden()


def test_a_chart_is_read_by_arrow_keys(organization: Organization, visit: Visit, processes: ProcessPool) -> None:
    submit_job(make_job_type(), organization)
    processes.worker("--processes", "1")
    page = visit(operator(), "/admin/django_jobs/monitor/?range=month")
    chart = page.locator("[data-djobs-chart=djobs-ended]")
    chart.focus()
    page.keyboard.press("ArrowLeft")

    expect(page.locator("[data-djobs-readout]").first).to_contain_text("Submitted 1")


def test_staff_of_one_organization_find_nothing_of_another_on_any_page(
    organization: Organization, visit: Visit, processes: ProcessPool
) -> None:
    elsewhere = make_organization(name="ORG-ELSEWHERE", title="Elsewhere")
    kind = make_job_type("fail_for_good", type_name="shared", max_retries=0)
    for tenant in (organization, elsewhere):
        submit_job(kind, tenant, user=make_user(f"owner-of-{tenant.name}", member_of=[tenant]))
    processes.worker("--processes", "1")
    wait_until(lambda: count("Dead Letter") == 2, 30, "two dead letters")
    foreign = Job.objects.get(organization=elsewhere)
    page = visit(make_user("mia", is_staff=True, admin_of=[organization], permissions=VIEWS), "/admin/")
    own = [link.get_attribute("href") for link in page.locator("#content-main a[href*=django_jobs]").all()]
    pages = [*own, "/admin/django_jobs/monitor/?range=month", "/admin/django_jobs/failure/?job_type=shared"]

    for address in {address for address in pages if address}:
        page.goto(address)
        expect(page.locator("body")).not_to_contain_text("ELSEWHERE")
        expect(page.locator("body")).not_to_contain_text("Elsewhere")
        expect(page.locator("body")).not_to_contain_text(foreign.name)


def test_an_operator_types_a_rule_sees_when_it_fires_and_fires_it_now(organization: Organization, visit: Visit) -> None:
    kind = make_job_type(type_name="letters")
    page = visit(operator(), "/admin/django_jobs/schedule/")
    page.get_by_role("link", name="Add schedule").click()
    page.get_by_label("What it submits").select_option(kind.pk)
    page.get_by_role("button", name="Go on").click()
    preview = page.get_by_role("status")
    page.get_by_label("Cron").fill("0 25 * * *")
    expect(preview).to_contain_text("'25'")
    page.get_by_label("Cron").fill("0 2 * * MON-FRI")
    expect(preview).to_contain_text("02:00")
    expect(preview.get_by_role("listitem")).to_have_count(5)
    page.get_by_label("Name").fill("weekday letters")
    page.get_by_label("Organization").fill(organization.name)
    page.get_by_role("button", name="Save").click()
    page.get_by_role("link", name="Fire now").click()
    page.locator(".djobs-confirm [type=submit]").click()
    expect(page.locator(".messagelist")).to_be_visible()
    job = Job.objects.get()
    page.locator(".messagelist").get_by_role("link", name=job.name).click()
    expect(page.get_by_role("link", name="weekday letters")).to_be_visible()


def test_an_operator_makes_a_worker_quiet_resumes_it_and_stops_it(
    organization: Organization, visit: Visit, processes: ProcessPool
) -> None:
    worker = processes.worker("--processes", "1")
    wait_until(Worker.objects.exists, 30, "a worker")
    page = visit(operator(), "/admin/django_jobs/worker/")
    page.get_by_role("button", name="Quiet").click()
    expect(page.locator(".messagelist .quiet_ordered")).to_be_visible()
    expect(page.locator(".djobs-supervisor [data-code=quiet]")).to_be_visible()
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".djobs-supervisor [data-code=works]")).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    page.locator(".djobs-confirm [type=submit]").click()
    expect(page.locator("[data-code=left]")).to_contain_text("root")
    assert worker.wait(30) == 0


def test_the_numbers_of_the_bar_follow_what_happens(organization: Organization, visit: Visit) -> None:
    page = visit(operator(), "/admin/django_jobs/organization/")
    expect(page.locator("[data-djobs-entry=job]")).to_contain_text("Jobs 0")
    submit_job(make_job_type(), organization)
    expect(page.locator("[data-djobs-entry=job]")).to_contain_text("Jobs 1")
