"""People at the members' page, in Chromium, against a real server and a real worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

from django_jobs import create_batch, submit_job
from django_jobs.models import Organization
from tests.browser.conftest import Visit
from tests.browser.site import Site
from tests.browser.steps import CONTENT, Steps
from tests.support.factories import PASSWORD, make_organization, make_user

PHONE: dict[str, Any] = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


def start_report(page: Page) -> None:
    page.get_by_role("button", name="Make the PDF").click()


def bar(page: Page) -> Locator:
    return page.get_by_role("progressbar", name="Sales report as PDF")


def status(page: Page) -> Locator:
    return page.locator("job-progress > [part=status]")


def file_link(page: Page) -> Locator:
    return page.get_by_role("link", name="Download sales.pdf")


def refuse_sockets(page: Page) -> None:
    """As behind a proxy that knows no websockets."""
    page.route_web_socket("**/ws/jobs/", lambda socket: socket.close())
    page.reload()


def expect_progress(page: Page, percent: int) -> None:
    expect(bar(page)).to_have_attribute("aria-valuenow", f"{percent}")


def test_a_report_that_is_started_by_a_click_moves_and_ends_with_its_file(
    organization: Organization, visit: Visit, steps: Steps, tmp_path: Path
) -> None:
    page = visit(make_user(member_of=[organization]))
    start_report(page)
    steps.let(10)
    expect_progress(page, 10)
    steps.let(55)
    expect_progress(page, 55)
    expect(page.get_by_text("At step 55")).to_be_visible()
    steps.let(100)
    with page.expect_download() as download:
        file_link(page).click()

    download.value.save_as(tmp_path / "sales.pdf")
    assert (tmp_path / "sales.pdf").read_bytes() == CONTENT


def test_a_page_recovers_from_a_server_that_was_killed(
    organization: Organization, visit: Visit, steps: Steps, site: Site
) -> None:
    page = visit(make_user(member_of=[organization]))
    start_report(page)
    steps.let(10)
    expect_progress(page, 10)
    site.kill()
    steps.let(40)
    site.start()
    expect_progress(page, 40)
    steps.let(70)
    expect_progress(page, 70)
    steps.let(100)

    expect(file_link(page)).to_be_visible()


def test_a_job_that_ended_while_the_server_was_away_is_not_left_stuck(
    organization: Organization, visit: Visit, steps: Steps, site: Site
) -> None:
    page = visit(make_user(member_of=[organization]))
    start_report(page)
    steps.let(10)
    expect_progress(page, 10)
    site.kill()
    steps.let(100)
    site.start()

    expect(status(page)).to_have_text("Ready to download")


def test_people_of_one_organization_see_each_others_jobs_and_nobody_else_does(
    organization: Organization, visit: Visit, steps: Steps
) -> None:
    elsewhere = make_organization(title="Elsewhere")
    alice, bob = (visit(make_user(member_of=[organization])) for _ in range(2))
    carol = visit(make_user(member_of=[elsewhere]))
    start_report(alice)
    steps.let(30)
    expect_progress(bob, 30)
    steps.let(100)
    expect(file_link(bob)).to_be_visible()

    assert carol.locator("job-progress").count() == 0


def test_members_may_not_cancel_each_others_jobs(organization: Organization, visit: Visit, steps: Steps) -> None:
    alice, bob = (visit(make_user(member_of=[organization])) for _ in range(2))
    start_report(alice)
    steps.let(30)
    expect_progress(bob, 30)

    expect(alice.get_by_role("button", name="Cancel")).to_be_visible()
    expect(bob.get_by_role("button", name="Cancel")).to_be_hidden()


def test_a_running_job_is_canceled_by_a_click(organization: Organization, visit: Visit, steps: Steps) -> None:
    page = visit(make_user(member_of=[organization]))
    start_report(page)
    steps.let(10)
    expect_progress(page, 10)
    page.get_by_role("button", name="Cancel").click()

    expect(status(page)).to_have_text("Canceled")


def test_everything_can_be_done_by_keyboard(organization: Organization, visit: Visit, steps: Steps) -> None:
    user = make_user(member_of=[organization])
    page = visit(None)
    page.wait_for_function("document.activeElement.name === 'username'")  # it has the focus by itself
    page.keyboard.type(user.username)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Make the PDF").focus()
    page.keyboard.press("Enter")
    steps.let(10)
    expect_progress(page, 10)
    page.get_by_role("link", name="Skip to the jobs").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Enter")

    expect(status(page)).to_have_text("Canceled")


def test_where_the_socket_is_refused_the_page_polls(organization: Organization, visit: Visit, steps: Steps) -> None:
    page = visit(make_user(member_of=[organization]))
    refuse_sockets(page)
    start_report(page)
    steps.let(10)
    expect_progress(page, 10)
    steps.let(100)

    expect(file_link(page)).to_be_visible()


def test_a_phone_shows_all_of_it_without_scrolling_sideways(
    organization: Organization, visit: Visit, steps: Steps
) -> None:
    page = visit(make_user(member_of=[organization]), **PHONE)
    start_report(page)
    steps.let(100)
    expect(file_link(page)).to_be_visible()

    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_nothing_moves_when_the_script_takes_over_and_when_a_job_ends(
    organization: Organization, visit: Visit, steps: Steps
) -> None:
    page = visit(make_user(member_of=[organization]))
    start_report(page)
    steps.let(10)
    expect_progress(page, 10)
    before = page.locator(".job").bounding_box()
    steps.let(100)
    expect(file_link(page)).to_be_visible()

    assert page.locator(".job").bounding_box() == before


def test_without_javascript_the_state_is_there(organization: Organization, visit: Visit) -> None:
    job = submit_job("pdf_generation", organization)
    page = visit(make_user(member_of=[organization]), java_script_enabled=False)

    expect(bar(page)).to_have_attribute("aria-valuetext", "Waiting for its turn, 0 %")
    expect(page.locator(f"#{job.name}")).to_contain_text("Waiting for its turn")


def test_an_element_that_a_script_adds_comes_alive(organization: Organization, visit: Visit, steps: Steps) -> None:
    page = visit(make_user(member_of=[organization]))
    job = submit_job("pdf_generation", organization)
    page.evaluate(
        """([id, url]) => {
            const element = document.createElement("job-progress");
            element.id = "mine";
            element.setAttribute("job-id", id);
            element.setAttribute("api-url", "/api/jobs/");
            element.setAttribute("ws-url", url);
            document.body.append(element);
        }""",
        [job.name, page.url.replace("http", "ws").partition("/shop")[0] + "/ws/jobs/"],
    )
    steps.let(30)

    expect(page.locator("#mine [part=percent]")).to_have_text("30 %")


def test_jobs_and_batches_that_others_start_come_to_the_top_of_an_open_page(
    organization: Organization, visit: Visit, steps: Steps
) -> None:
    page = visit(make_user(member_of=[organization]))
    expect(page.locator(".empty")).to_be_visible()
    first = submit_job("pdf_generation", organization)
    expect(page.locator("#jobs > .job")).to_have_count(1)
    with create_batch(organization, name="Reports") as batch:
        second = batch.submit("generate_report")
    expect(page.locator("#jobs > .job")).to_have_count(3)
    steps.let(100)

    expect(page.locator("#jobs > .job").last).to_have_attribute("id", first.name)
    expect(page.locator(f"#{first.name} [part=status]")).to_have_text("Ready to download")
    expect(page.locator(f"#{second.name}")).to_be_visible()
    expect(page.locator(f"#{batch.batch_id} [part=message]")).to_be_visible()
