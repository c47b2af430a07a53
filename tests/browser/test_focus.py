"""The keyboard's way through the console: in the order in which people see things, always visible, and never stuck."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from django_jobs.models import Alert, Job, Organization
from tests.browser.conftest import Visit
from tests.support import verbs
from tests.support.alerts import make_alert, scheduler_ticks
from tests.support.brokers import end, pending_job, raised, start
from tests.support.console_pages import ADMIN
from tests.support.factories import make_job_type, make_user
from tests.support.failures import die
from tests.support.monitor import count
from tests.support.operations import begin

pytestmark = pytest.mark.usefixtures("broker")

#: Wide and so high that nothing scrolls: then a thing stays where it is.
WINDOW: Final = {"width": 1360, "height": 4000}
#: Notes each element that gets the focus: which of all it is, where it is, and whether its looks say so.
NOTE: Final = """() => {
    const looks = (element) => {
        const style = getComputedStyle(element.querySelector(":scope > .djobs-box") ?? element);
        const outline = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1;
        return {outline, other: `${style.boxShadow} ${style.borderColor} ${style.strokeWidth}`};
    };
    const all = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex]";
    const reachable = [...document.querySelectorAll(all)].filter((element) =>
        element.tabIndex >= 0 && !element.disabled && element.checkVisibility({visibilityProperty: true}));
    const before = new Map(reachable.map((element) => [element, looks(element).other]));
    window.noted = [];
    document.addEventListener("focusin", ({target}) => {
        const {left, right, top, bottom} = target.getBoundingClientRect();
        const {outline, other} = looks(target);
        const name = `${target.tagName} ${target.ariaLabel ?? target.innerText ?? ""} at ${left}, ${top}`;
        const isInContent = target.closest("#content") !== null;
        noted.push({name, number: reachable.indexOf(target), isInContent, left, right, top, bottom,
            isMarked: outline || (before.has(target) && other !== before.get(target))});
    });
    return reachable.length;
}"""
#: No page asks the server anew by itself: what it replaces while somebody walks through it would be another thing.
STILL: Final = """((later) => {
    window.setTimeout = (act, pause = 0, ...rest) => (pause < 1000 ? later(act, pause, ...rest) : 0);
})(window.setTimeout.bind(window))"""
REFRESH: Final = "() => document.dispatchEvent(new Event('django-jobs:changed'))"


def operator() -> User:
    return make_user("root", is_staff=True, is_superuser=True)


def family(organization: Organization) -> Job:
    """A job that died, with one that waited for it."""
    kind = make_job_type(type_name="letters")
    job = pending_job(kind, organization)
    pending_job(kind, organization, depends_on=[job])
    return end(raised(start(job), "Permanent", text="No printer answered", traceback="Traceback of it"))


def addresses(organization: Organization, user: User) -> Iterator[str]:
    """Pages with something of all that they can show: an alarm, failures, jobs, an operation."""
    dead = family(organization)
    die(make_job_type(type_name="faxes"), organization, "It is engaged")
    count(dead.job_type, organization, completed=3)
    make_alert("type_failing", dead.job_type_id, {"failed": 5, "attempts": 5})
    operation = begin(dead, user)
    verbs.pause_operation(operation)
    yield from ("/admin/", f"{ADMIN}/monitor/", f"{ADMIN}/failure/", f"{ADMIN}/job/")
    yield from (f"{ADMIN}/job/{dead.pk}/change/", f"{ADMIN}/operation/{operation.pk}/change/")


def walk(page: Page) -> tuple[int, list[dict[str, Any]]]:
    """How many things the Tab key can reach, and where it stopped when it was pressed so often."""
    reachable: int = page.evaluate(NOTE)
    for _ in range(reachable):
        page.keyboard.press("Tab")
    return reachable, page.evaluate("noted")


def goes_back(item: dict[str, Any], after: dict[str, Any]) -> bool:
    """Whether people who read line by line, and one column after the other, see what follows before the item."""
    is_above = after["bottom"] <= item["top"] and after["left"] < item["right"]
    is_beside = after["bottom"] > item["top"] and after["top"] < item["bottom"] and after["right"] <= item["left"]
    return bool(is_above or is_beside)


def test_the_tab_key_goes_through_each_page_as_people_see_it(
    subtests: pytest.Subtests, organization: Organization, visit: Visit
) -> None:
    scheduler_ticks(seconds_ago=-600)
    user = operator()
    page = visit(user, viewport=WINDOW)
    page.add_init_script(STILL)
    for address in addresses(organization, user):
        page.goto(address)
        reachable, stops = walk(page)
        with subtests.test(address=address):
            assert stops[0]["name"].startswith("A Skip to main content")
            assert sorted(stop["number"] for stop in stops) == list(range(reachable))
            assert [stop["name"] for stop in stops if not stop["isMarked"]] == []
            # The skip link lies above the others.
            back = [(one["name"], other["name"]) for one, other in pairwise(stops[1:]) if goes_back(one, other)]
            assert back == []
            page.goto(address)
            page.evaluate(NOTE)
            for key in ("Tab", "Enter", "Tab"):
                page.keyboard.press(key)
            first = next(stop["number"] for stop in stops if stop["isInContent"])
            assert page.evaluate("noted.at(-1).number") == first


def test_the_focus_stays_where_it_is_while_the_page_changes_around_it(organization: Organization, visit: Visit) -> None:
    scheduler_ticks(seconds_ago=-600)
    user = operator()
    kind = make_job_type(type_name="letters")
    dead = [die(kind, organization, "No printer answered") for _ in range(2)][-1]
    page = visit(user, f"{ADMIN}/failure/")
    button = page.get_by_role("button", name="Retry all 2")
    button.focus()
    die(dead.job_type, organization, "No printer answered")
    die(make_job_type(type_name="faxes"), organization, "It is engaged")
    page.evaluate(REFRESH)
    expect(page.get_by_role("button", name="Retry all 3")).to_be_focused()
    expect(page.locator("[data-djobs-said]")).to_contain_text("Newest: faxes. It is engaged.")

    make_alert("type_failing", dead.job_type_id, {"failed": 5, "attempts": 5})
    page.goto(f"{ADMIN}/monitor/")
    link = page.get_by_role("link", name="See failures")
    link.focus()
    Alert.objects.update(facts={"failed": 9, "attempts": 9})
    page.evaluate(REFRESH)
    expect(page.locator(".djobs-alarm-text")).to_contain_text("9 of 9")
    expect(link).to_be_focused()

    operation = begin(dead, user)
    page.goto(f"{ADMIN}/operation/{operation.pk}/change/")
    stop = page.get_by_role("button", name="Stop")
    stop.focus()
    verbs.pause_operation(operation)
    page.evaluate(REFRESH)
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    expect(stop).to_be_focused()
    expect(page.locator("[data-djobs-said]")).to_contain_text(f"Operation {operation.pk}: Paused, 0 of ")
