"""How parts of an open page are replaced: page_parts.js in Chromium, on a page of nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, Page, expect

import django_jobs

SOURCE: Final = Path(django_jobs.__file__).parent / "static/django_jobs/page_parts.js"
ADDRESS: Final = "http://parts.test/"
FRESH: Final = """async (html) => {
    const {exchange} = await import("/page_parts.js");
    const next = document.createElement("div");
    next.innerHTML = html;
    return exchange(document.querySelector("#part"), next);
}"""
TOKEN: Final = '<input type="hidden" name="csrfmiddlewaretoken" value="{}">'
RATE: Final = '<form><input name="rate" aria-label="Rate"></form>'
MARK: Final = "() => getSelection().selectAllChildren(document.querySelector('#part p'))"


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty page that can import the module."""
    context = browser.new_context()
    context.route(f"{ADDRESS}**", lambda route: route.fulfill(body="<!DOCTYPE html>", content_type="text/html"))
    context.route(f"{ADDRESS}page_parts.js", lambda route: route.fulfill(path=SOURCE, content_type="text/javascript"))
    opened = context.new_page()
    opened.goto(ADDRESS)
    yield opened
    context.close()


def show(page: Page, html: str) -> None:
    page.evaluate("(html) => { document.body.innerHTML = `<div id=part>${html}</div>`; }", html)


def refresh(page: Page, html: str) -> bool:
    """Let the server's answer come; whether the part was replaced."""
    return bool(page.evaluate(FRESH, html))


def focused(page: Page) -> str:
    return str(page.evaluate("() => document.activeElement.dataset.test ?? document.activeElement.id"))


def alarm(key: str, count: int = 1) -> str:
    """An alarm as two of them are beside each other: the same words, and the same address."""
    return f"""<li data-djobs-alarm="{key}"><a href="/failures/" data-test="{key}">See failures</a> {count}</li>"""


def worker(key: str, verb: str) -> str:
    return f"""<section data-djobs-row="{key}"><form action="/{key}/{verb}/">
        <button data-test="{key} {verb}">{verb}</button></form></section>"""


def fold(key: str, count: int = 1) -> str:
    return f"""<li data-djobs-row="{key}"><details id="more-{key}"><summary data-test="{key}">More</summary>
        {count}</details></li>"""


def test_what_says_something_else_is_replaced(page: Page) -> None:
    show(page, "<p>1 job</p>")
    assert refresh(page, "<p>2 jobs</p>")
    expect(page.get_by_text("2 jobs")).to_be_visible()


def test_another_token_alone_replaces_nothing_and_is_taken_over(page: Page) -> None:
    show(page, f"<form>{TOKEN.format('first')}</form>")
    assert [refresh(page, f"<form>{TOKEN.format(token)}</form>") for token in ("second", "third")] == [False, False]
    expect(page.locator("input")).to_have_value("third")


def test_what_was_typed_stays_until_it_is_taken_back(page: Page) -> None:
    show(page, f"<p>1 job</p>{RATE}")
    rate = page.get_by_label("Rate")
    rate.fill("60")
    rate.blur()
    assert not refresh(page, f"<p>2 jobs</p>{RATE}")
    expect(rate).to_have_value("60")
    rate.fill("")
    assert not refresh(page, f"<p>2 jobs</p>{RATE}")  # somebody is about to type
    rate.blur()
    assert refresh(page, f"<p>2 jobs</p>{RATE}")


def test_a_button_holds_its_part_only_while_it_is_pressed(page: Page) -> None:
    show(page, worker("seven", "quiet"))
    button = page.get_by_role("button")
    button.focus()
    assert refresh(page, worker("seven", "quiet") + worker("eight", "quiet"))
    assert focused(page) == "seven quiet"
    button.first.hover()
    page.mouse.down()
    assert not refresh(page, worker("seven", "resume"))
    page.mouse.up()


@pytest.mark.parametrize(
    "field", ['<input type="checkbox">', "<select><option>a<option>b</select>", "<textarea></textarea>"]
)
def test_every_kind_of_field_that_was_changed_stays(field: str, page: Page) -> None:
    show(page, f"<p>1 job</p>{field}")
    assert refresh(page, f"<p>2 jobs</p>{field}")
    change = "(field) => { field.checked = true; field.selectedIndex = 1; if (!field.options) field.value += 'x'; }"
    page.locator("input, select, textarea").evaluate(change)
    assert not refresh(page, f"<p>3 jobs</p>{field}")


def test_marked_text_stays_marked(page: Page) -> None:
    show(page, "<p>JOB-1</p>")
    page.evaluate(MARK)
    assert not refresh(page, "<p>JOB-2</p>")
    assert page.evaluate("() => getSelection().toString()") == "JOB-1"


def test_the_focus_stays_with_the_alarm_when_another_comes_above_it(page: Page) -> None:
    show(page, alarm("fax"))
    page.get_by_role("link").focus()
    assert refresh(page, alarm("mail") + alarm("fax", 2))
    assert focused(page) == "fax"


def test_the_focus_stays_with_the_fold_of_its_row_which_stays_open(page: Page) -> None:
    show(page, fold("mail") + fold("fax"))
    page.locator("[data-test=fax]").click()
    assert refresh(page, fold("fax", 2) + fold("mail", 2))
    assert focused(page) == "fax"
    expect(page.locator("#more-fax")).to_have_attribute("open", "")


def test_a_button_that_became_another_one_of_its_row_has_the_focus(page: Page) -> None:
    show(page, worker("seven", "quiet") + worker("eight", "quiet"))
    page.locator("[data-test='eight quiet']").focus()
    assert refresh(page, worker("seven", "quiet") + worker("eight", "resume"))
    assert focused(page) == "eight resume"


def test_the_focus_of_a_row_that_is_gone_goes_to_no_other_row(page: Page) -> None:
    show(page, alarm("mail") + alarm("fax"))
    page.locator("[data-test=fax]").focus()
    assert refresh(page, alarm("mail"))
    assert focused(page) == "part"


def test_without_rows_the_same_words_have_the_focus(page: Page) -> None:
    show(page, '<button data-test="retry">Retry</button><button data-test="cancel">Cancel</button>')
    page.get_by_role("button", name="Cancel").focus()
    assert refresh(page, '<button data-test="cancel">Cancel</button>')
    assert focused(page) == "cancel"
