"""What all pages of the admin share."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def bar_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the bar have no numbers, which are read once in some seconds: statements are then those of the page alone."""
    monkeypatch.setattr("django_jobs.admin.navigation.read_counts", lambda *_: {})
