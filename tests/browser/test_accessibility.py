"""Every page, looked at by axe and by the width of what is on it, in four combinations of language, width and scheme.

axe is the npm package `axe-core`, whose `axe.min.js` is named by $AXE. Without it this test is skipped, but in CI.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from django.utils import timezone
from playwright.sync_api import Page, Response, expect

from django_jobs.models import ExecutionLog, Organization
from tests.browser.conftest import Visit
from tests.support.admin import VIEWS
from tests.support.brokers import pending_job
from tests.support.catalogs import LANGUAGES
from tests.support.console_pages import ADMIN, Console, Look
from tests.support.factories import make_job_type, make_organization, make_user

AXE: Final = Path(os.environ.get("AXE", "/nowhere/axe.min.js"))
needs_axe = pytest.mark.skipif(
    not AXE.is_file() and os.environ.get("CI") != "true", reason="npm install axe-core, and name its axe.min.js by $AXE"
)


class Combination(NamedTuple):
    """How the pages are looked at. Colors are looked at where ``has_colors`` says so: they know no language."""

    language: str
    width: int
    scheme: str
    has_colors: bool = False
    is_staff_of_one: bool = False

    def __str__(self) -> str:
        return f"{self.language}-{self.width}-{self.scheme}"


COMBINATIONS: Final = (
    Combination("en", 1360, "dark", has_colors=True),
    Combination("en", 390, "light", has_colors=True),
    Combination("ar", 390, "dark"),
    Combination("de", 1360, "light", is_staff_of_one=True),
)
#: The browsable API is Django REST framework's, whose theme has faults of contrast, labels and language of its own. Of
#: its pages, only what this app adds to them is looked at by axe.
OURS_IN_API: Final = ".job-links"
#: Posts fields from a form of the page, as one of its buttons would.
POST: Final = r"""([address, fields]) => {
    const form = document.createElement("form");
    form.method = "post";
    form.action = address;
    const token = document.cookie.match(/csrftoken=(\w+)/)[1];
    for (const [name, value] of Object.entries({...fields, csrfmiddlewaretoken: token})) {
        form.append(Object.assign(document.createElement("input"), {type: "hidden", name, value}));
    }
    document.body.append(form);
    form.submit();
}"""
#: What axe finds, and what reaches past the window: the page, and what people press that is in no box that scrolls.
FAULTS: Final = """async ({width, ours, rules}) => {
    const parts = ours ? [...document.querySelectorAll(ours)] : [document];
    // Without preload: what is fetched ahead is needed only for rules on sound and on the orientation of the screen.
    const options = {resultTypes: ["violations"], preload: false, rules};
    const found = parts.length ? await axe.run(parts, options) : {violations: []};
    const faults = found.violations
        .filter((item) => ["serious", "critical"].includes(item.impact))
        .map((item) => `${item.id}: ${item.nodes.slice(0, 3).map((node) => node.html.slice(0, 160))}`);
    const scrolling = ".djobs-scroll, .djobs-nav, .djobs-graph, .job-list, pre";
    const page = document.documentElement;
    if (page.scrollWidth > page.clientWidth) {
        faults.push(`The page is ${page.scrollWidth} px wide, and shows ${page.clientWidth}`);
    }
    for (const item of document.querySelectorAll("a[href], button, input, select, textarea, summary")) {
        const box = item.getBoundingClientRect();
        const isOut = box.width > 1 && (box.left < -1 || box.right > width + 1);
        if (isOut && item.checkVisibility({visibilityProperty: true}) && !item.closest(scrolling)) {
            faults.push(`outside: ${item.outerHTML.slice(0, 160)}`);
        }
    }
    return faults;
}"""

#: Digits of times and names of workers are wider on some days than on others: a list must fit in a box that is so much
#: narrower than its own.
SPARE_PX: Final = 16
#: Rows that reach past the box of their list.
WIDE_ROWS: Final = """(spare) => {
    const list = document.querySelector("#changelist .results");
    if (!list) return [];
    const room = list.clientWidth - spare;
    list.style.width = `${room}px`;
    const least = list.scrollWidth;
    list.style.width = "";
    return least > room ? [`The list is at least ${least} px wide, and must fit into ${room}`] : [];
}"""


def look_at(page: Page, look: Look) -> Response:
    """Go to a page, by what a button posts if only that leads to it."""
    if not look.posted:
        answer = page.goto(look.address)
        assert answer is not None
        return answer
    with page.expect_navigation() as navigation:
        page.evaluate(POST, [look.address, look.posted])
    return navigation.value


def faults_of(page: Page, width: int, *, has_colors: bool = True) -> list[str]:
    """What is wrong with a page."""
    ours = OURS_IN_API if "/api/" in page.url and "/docs/" not in page.url else ""
    asked = {"width": width, "ours": ours, "rules": {"color-contrast": {"enabled": has_colors}}}
    found: list[str] = page.evaluate(FAULTS, asked) + page.evaluate(WIDE_ROWS, SPARE_PX)
    return found


@needs_axe
@pytest.mark.usefixtures("broker")
@pytest.mark.parametrize("looked_at_as", COMBINATIONS, ids=str)
def test_every_page_can_be_read_and_used_by_all(
    looked_at_as: Combination, subtests: pytest.Subtests, organization: Organization, visit: Visit
) -> None:
    language, width, scheme, has_colors, is_staff_of_one = looked_at_as
    operator = make_user("root", is_staff=True, is_superuser=True)
    permissions = [*VIEWS, "django_jobs.view_schedule"]
    staff = make_user("mia", is_staff=True, admin_of=[organization], permissions=permissions)
    console = Console(organization, operator, staff)
    looks, refused = [*console.looks(), *console.shop()], 0
    options = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme, "locale": language}
    page = visit(staff if is_staff_of_one else operator, "/admin/", **options)
    page.add_init_script(path=AXE)  # past each page's Content-Security-Policy, as the browser's own tool
    console.keep_workers()
    for look in [*looks, *(console.api() if has_colors else ())]:
        with subtests.test(look=str(look)):
            answer = look_at(page, look)
            if is_staff_of_one and answer.status == 403:
                refused += 1
                continue
            assert answer.status == look.status
            assert faults_of(page, width, has_colors=has_colors) == []
    assert refused < len(looks) / 4


@pytest.mark.usefixtures("broker")
def test_every_list_fits_beside_the_sidebar_in_every_language(
    subtests: pytest.Subtests, organization: Organization, visit: Visit
) -> None:
    operator = make_user("root", is_staff=True, is_superuser=True)
    console = Console(organization, operator, make_user("mia", is_staff=True, admin_of=[organization]))
    make_user("sue", member_of=[make_organization(title="Printers of the long street " * 5)])
    lists = [look for look in console.looks() if not look.posted and re.fullmatch(rf"{ADMIN}/\w+/", look.address)]
    for language in LANGUAGES:
        page = visit(operator, "/admin/", viewport={"width": 1280, "height": 900}, locale=language.replace("_", "-"))
        for look in lists:
            with subtests.test(language=language, look=str(look)):
                look_at(page, look)
                assert page.evaluate(WIDE_ROWS, SPARE_PX) == []


@pytest.mark.usefixtures("broker")
def test_a_list_of_many_pages_fits_on_a_phone(organization: Organization, visit: Visit) -> None:
    job = pending_job(make_job_type(), organization)
    now = timezone.now()
    rows = [ExecutionLog(job=job, organization=organization, to_status="Pending", timestamp=now) for _ in range(700)]
    ExecutionLog.objects.bulk_create(rows)
    operator = make_user("root", is_staff=True, is_superuser=True)
    phone = {"viewport": {"width": 390, "height": 844}, "locale": "de"}
    page = visit(operator, f"{ADMIN}/executionlog/?p=3", **phone)
    expect(page.locator(".paginator")).to_contain_text("Ausführungsprotokolle")
    assert page.evaluate("document.documentElement.scrollWidth") == 390


@pytest.mark.usefixtures("broker")
def test_the_skip_link_leads_past_the_bar(organization: Organization, visit: Visit) -> None:
    page = visit(make_user("root", is_staff=True, is_superuser=True), f"{ADMIN}/job/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to main content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#content-start")).to_be_focused()


@pytest.mark.usefixtures("broker")
def test_the_bar_is_walked_by_keyboard_and_says_what_it_counts(organization: Organization, visit: Visit) -> None:
    page = visit(make_user("root", is_staff=True, is_superuser=True), f"{ADMIN}/job/")
    bar = page.get_by_role("navigation", name="Jobs", exact=True)
    expect(bar.get_by_role("link", name="Jobs 0 that wait or run")).to_have_attribute("aria-current", "page")
    bar.get_by_role("link", name="Jobs 0").focus()
    page.keyboard.press("Tab")
    expect(bar.get_by_role("link", name="Operations 0 under way")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{page.url.partition('/admin')[0]}{ADMIN}/operation/")


@pytest.mark.usefixtures("broker")
def test_on_a_phone_the_bar_shows_where_one_is(organization: Organization, visit: Visit) -> None:
    page = visit(
        make_user("root", is_staff=True, is_superuser=True),
        f"{ADMIN}/worker/",
        viewport={"width": 390, "height": 844},
    )
    expect(page.locator(".djobs-nav [aria-current]")).to_be_in_viewport(ratio=1)
