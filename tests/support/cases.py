"""Cases of one test that cannot influence each other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import transaction


@contextmanager
def rolled_back(subtests: pytest.Subtests, **case: Any) -> Iterator[None]:
    """Let a case fail by itself, and take back what it wrote into the database."""
    with subtests.test(**case), transaction.atomic():
        try:
            yield
        finally:
            transaction.set_rollback(True)
