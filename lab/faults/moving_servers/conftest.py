from __future__ import annotations

import faulthandler

import pytest


@pytest.fixture(autouse=True)
def _bounded_by_its_steps() -> None:
    """Each step of these tests has a bound of its own; together they may take longer than a test is given."""
    faulthandler.cancel_dump_traceback_later()
