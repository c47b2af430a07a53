"""What all pages of the admin share."""

from __future__ import annotations

import pytest

from tests.support.verbs import Interpose


@pytest.fixture(autouse=True)
def bar_numbers(interpose: Interpose) -> None:
    """Let the bar have no numbers, which are read once in some seconds: statements are then those of the page alone."""
    interpose("read_counts", lambda *_: {})
