"""Every page, looked at by axe and by the width of what is on it, in four combinations of language, width and scheme.

axe is the npm package `axe-core`, whose `axe.min.js` is named by $AXE. Without it this test is skipped, but in CI.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from playwright.sync_api import Page, Response, expect

from django_jobs.models import Organization
from tests.browser.conftest import Visit
from tests.support.admin import VIEWS
from tests.support.console_pages import ADMIN, Console, Look
from tests.support.factories import make_user

AXE: Final = Path(os.environ.get("AXE", "/nowhere/axe.min.js"))
needs_axe = pytest.mark.skipif(
    not AXE.is_file() and os.environ.get("CI") != "true", reason="npm install axe-core, and name its axe.min.js by $AXE"
)


class Combination(NamedTuple):
    """How the pages are looked at."""

    language: str
    width: int
    scheme: str
    is_staff_of_one: bool = False


COMBINATIONS: Final = (
    Combination("en", 1360, "dark"),
    Combination("en", 390, "light"),
    Combination("ar", 390, "dark"),
    Combination("de", 1360, "light", is_staff_of_one=True),
)

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
#: axe's rules of how bad a violation is, and what reaches past the window: of the page, of a list in its box, and what
#: people press, unless it is in a box of ours that scrolls.
FAULTS: Final = """async ({width, context, rules}) => {
    const found = await axe.run(context ?? document, {resultTypes: ["violations"], rules});
    const faults = found.violations
        .filter((item) => ["serious", "critical"].includes(item.impact))
        .map((item) => `${item.id}: ${item.nodes.slice(0, 3).map((node) => node.html.slice(0, 160))}`);
    if (document.documentElement.scrollWidth > width) { faults.push(`${document.documentElement.scrollWidth} px wide`); }
    const list = document.querySelector("#changelist .results");
    if (list && list.scrollWidth > list.clientWidth) { faults.push(`list ${list.scrollWidth} of ${list.clientWidth} px`); }
    for (const item of document.querySelectorAll("a[href], button, input, select, textarea, summary")) {
        const box = item.getBoundingClientRect();
        const isOut = box.width > 1 && (box.left < -1 || box.right > width + 1);
        if (isOut && item.checkVisibility({visibilityProperty: true}) && !item.closest(".djobs-scroll, .djobs-nav, .djobs-graph")) {
            faults.push(`outside: ${item.outerHTML.slice(0, 160)}`);
        }
    }
    return faults;
}"""


def look_at(page: Page, look: Look) -> Response:
    """Go to a page, by the button that leads to it if there is one."""
    if not look.posted:
        answer = page.goto(look.address)
        assert answer is not None
        return answer
    with page.expect_navigation() as navigation:
        page.evaluate(POST, [look.address, look.posted])
    return navigation.value


def faults(page: Page, width: int, **options: Any) -> list[str]:
    """What is wrong with a page."""
    if page.evaluate("typeof axe") == "undefined":
        # As the browser's own tool would, past the page's Content-Security-Policy.
        page.evaluate(AXE.read_text())
    found: list[str] = page.evaluate(FAULTS, {"width": width, **options})
    return found


@needs_axe
@pytest.mark.usefixtures("broker")
def test_every_page_can_be_read_and_used_by_all(
    subtests: pytest.Subtests, organization: Organization, visit: Visit
) -> None:
    operator = make_user("root", is_staff=True, is_superuser=True)
    staff = make_user("mia", is_staff=True, admin_of=[organization], permissions=[*VIEWS, "django_jobs.view_schedule"])
    console = Console(organization, operator, staff)
    looks = [*console.looks(), *console.api(), *console.shop()]
    import time
    for language, width, scheme, is_staff_of_one in COMBINATIONS:
        t0=time.time()
        options = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme, "locale": language}
        page = visit(staff if is_staff_of_one else operator, "/admin/", **options)
        console.keep_workers()
        for look in looks:
            with subtests.test(look=str(look), language=language, width=width, scheme=scheme):
                answer = look_at(page, look)
                print(answer.status, page.url, look, language) if answer.status !=200 else 0
                assert answer.status == 200
                assert faults(page, width) == []
        print(language, width, time.time()-t0, len(looks))


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
