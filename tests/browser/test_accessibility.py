"""Every page of the console, looked at by axe: no serious or critical violation, light and dark, wide and narrow.

axe is the npm package `axe-core`, whose `axe.min.js` is named by $AXE. Without it these tests are skipped, but in CI.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Page, expect

from django_jobs.models import Organization
from tests.browser.conftest import Visit
from tests.browser.console_pages import ADMIN, everything
from tests.support.factories import make_user

AXE: Final = Path(os.environ.get("AXE", "/nowhere/axe.min.js"))
#: axe's own words for how bad a violation is.
BAD: Final = {"serious", "critical"}
needs_axe = pytest.mark.skipif(
    not AXE.is_file() and os.environ.get("CI") != "true", reason="npm install axe-core, and name its axe.min.js by $AXE"
)


def violations(page: Page) -> list[str]:
    """What axe finds on a page: the rule, and the first elements."""
    # As the browser's own tool would, past the page's Content-Security-Policy.
    page.evaluate(AXE.read_text())
    found: Any = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{item['id']} ({item['impact']}): {[node['html'][:160] for node in item['nodes'][:3]]}"
        for item in found["violations"]
        if item["impact"] in BAD
    ]


@needs_axe
@pytest.mark.usefixtures("broker")
@pytest.mark.parametrize(("width", "scheme"), [(1360, "light"), (1360, "dark"), (390, "light")])
def test_no_page_has_a_serious_violation(
    width: int, scheme: str, subtests: pytest.Subtests, organization: Organization, visit: Visit
) -> None:
    operator = make_user("root", is_staff=True, is_superuser=True)
    addresses = list(everything(organization, operator))
    page = visit(operator, viewport={"width": width, "height": 900}, color_scheme=scheme)
    for address in addresses:
        with subtests.test(address=address):
            answer = page.goto(address)
            assert answer is not None
            assert answer.status == 200
            assert violations(page) == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width


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
