"""A newcomer pastes README.md's blocks into a new project and watches the bar, in Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import PATIENCE_MS
from tests.support.walk import Walk, newcomer

#: Each takes half a second: a busy browser, too, sees the bar on its way.
WORDS: Final = 24
#: Whether a job runs, and is at least so far, at one and the same moment.
IS_AT: Final = """([element, bar, least]) =>
    Number(bar.value) >= least && element.querySelector("[part=status]").textContent.trim() === "Running"
"""


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    with newcomer(tmp_path) as walk:
        yield walk


def test_the_pasted_page_asks_for_a_login_and_shows_a_bar_that_moves_to_its_end(walk: Walk, browser: Browser) -> None:
    walk.paste_all()
    with browser.new_context(base_url=walk.url) as context:
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        sockets: list[str] = []
        page.on("websocket", lambda socket: sockets.append(socket.url))
        page.goto("/")
        page.get_by_label("Username").fill("alice")
        page.get_by_label("Password").fill("alice")
        page.get_by_role("button", name="Log in").click()
        page.locator("input[name=text]").fill(" ".join(map(str, range(WORDS))))
        page.get_by_role("button", name="Count the words").click()
        newest = page.locator("job-progress").first
        bar = newest.get_by_role("progressbar")

        for percent in (20, 60):
            page.wait_for_function(IS_AT, arg=[newest.element_handle(), bar.element_handle(), percent])
        expect(newest.locator("[part=status]")).to_have_text("Completed")
        expect(bar).to_have_attribute("aria-valuenow", "100")
        assert {url.partition("/ws")[2] for url in sockets} == {"/jobs/"}
