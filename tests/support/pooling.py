"""Whether a PgBouncer that pools transactions stands before the test database, and what means nothing there."""

from __future__ import annotations

import os
from typing import Final

import pytest

from tests.support.plugin import BEHIND_PGBOUNCER

IS_POOLED: Final = bool(os.environ.get(BEHIND_PGBOUNCER))


def needs_a_session(reason: str) -> pytest.MarkDecorator:
    """Skip what needs one connection to the server beyond a transaction; say what for."""
    return pytest.mark.skipif(IS_POOLED, reason=_reason(reason))


def skip_behind_pgbouncer(reason: str) -> None:
    """Do the same from within a fixture."""
    if IS_POOLED:
        pytest.skip(_reason(reason))


def _reason(text: str) -> str:
    return f"Behind a PgBouncer that pools transactions {text}."
