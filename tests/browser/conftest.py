"""Chromium, the example project behind a real server, and people who look at it.

Needs what the extra `browser` brings, and a Chromium at $CHROMIUM or /usr/bin/chromium. Not part of a plain `pytest`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from django_jobs.models import Organization
from tests.browser.site import Site
from tests.browser.steps import Steps
from tests.support.factories import make_organization
from tests.support.workers import ProcessPool

# Playwright's synchronous face runs an event loop in the test's thread; Django takes the tests for asynchronous.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

Visit = Callable[..., Page]
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
#: A page asks anew after up to a quarter of a minute, and where that failed after up to a minute.
PATIENCE_MS = 120_000
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        program = os.environ.get("CHROMIUM", "/usr/bin/chromium")
        yield playwright.chromium.launch(executable_path=program, args=list(FLAGS))


@pytest.fixture
def site(processes: ProcessPool, tmp_path: Path) -> Iterator[Site]:
    """The example project's web server."""
    server = Site(tmp_path / "web.log")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def visit(browser: Browser, site: Site) -> Iterator[Visit]:
    """Opens a page of the site as somebody who has logged in, in a browser of their own.

    A page that breaks its own Content-Security-Policy fails the test.
    """
    contexts: list[BrowserContext] = []
    violations: list[str] = []

    def note(message: ConsoleMessage) -> None:
        # What a test evaluates, such as axe, has no address; what a page does has its own.
        if "Content Security Policy" in message.text and message.location["url"]:
            violations.append(message.text)

    def open_page(user: User | None, path: str = "/", **options: Any) -> Page:
        context = browser.new_context(base_url=site.url, **options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        if user is not None:
            client = Client()
            client.force_login(user)
            context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": site.url}])
        page = context.new_page()
        page.on("console", note)
        page.goto(path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert violations == []


@pytest.fixture
def organization(transactional_db: None) -> Organization:
    return make_organization(title="Brightwater")


@pytest.fixture
def steps(transactional_db: None, processes: ProcessPool, tmp_path: Path) -> Steps:
    """Reports go on when the test says so."""
    return Steps(tmp_path, processes)
