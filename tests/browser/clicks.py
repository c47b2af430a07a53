"""What somebody does on a page, counted."""

from __future__ import annotations

from playwright.sync_api import Locator


class Clicks:
    """Clicks on things, and counts how often. Whoever uses it does nothing else to a page."""

    def __init__(self) -> None:
        self.count = 0

    def on(self, thing: Locator) -> None:
        """Click on it."""
        thing.click()
        self.count += 1
