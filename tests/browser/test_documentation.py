"""The site of the documentation, opened from its files: it needs no server, and loads nothing from elsewhere.

$DOCUMENTATION names the directory in which CONTRIBUTING.md's command built it. Without it these tests are skipped, but
in CI.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, Page, expect

SITE: Final = Path(os.environ.get("DOCUMENTATION", "/nowhere"))

pytestmark = pytest.mark.skipif(
    not SITE.is_dir() and os.environ.get("CI") != "true",
    reason="sphinx-build -W -c docs . build/site, and name build/site by $DOCUMENTATION",
)


@pytest.fixture(params=[(1280, 900), (390, 844)], ids=["desktop", "phone"])
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The start page; whatever a page asks of another host fails the test."""
    width, height = request.param
    foreign: list[str] = []
    context = browser.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    page.on("request", lambda asked: foreign.append(asked.url) if asked.url.startswith(("http", "ws")) else None)
    page.goto((SITE / "index.html").as_uri())
    page.wait_for_url("**/docs/index.html")
    yield page
    context.close()
    assert foreign == []


def is_within_the_window(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


def test_it_leads_from_the_start_page_to_the_handlers_and_to_a_docstring(page: Page) -> None:
    expect(page.get_by_role("heading", level=1)).to_contain_text("Durable background jobs for Django")
    assert is_within_the_window(page)
    page.get_by_role("main").get_by_role("link", name="Handlers", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Handlers")
    assert is_within_the_window(page)
    page.goto((SITE / "docs" / "python" / "functions.html").as_uri() + "#django_jobs.submit_job")
    expect(page.locator("dt:target")).to_contain_text("unique_key")
    assert is_within_the_window(page)


def test_it_finds_words_without_a_server(page: Page) -> None:
    page.goto((SITE / "search.html").as_uri() + "?q=concurrency_key")
    expect(page.locator("#search-results")).to_contain_text(re.compile(r"found \d+ pages"))
    expect(page.locator("#search-results a", has_text="Flow").first).to_be_visible()


def test_a_diagram_is_a_picture_that_was_drawn(page: Page) -> None:
    page.goto((SITE / "docs" / "lifecycle.html").as_uri())
    picture = page.locator(".diagram img")
    expect(picture).to_be_visible()
    assert picture.evaluate("picture => picture.complete && picture.naturalWidth > 0")
    assert is_within_the_window(page)
