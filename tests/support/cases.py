"""Cases of one test that cannot influence each other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import transaction

from tests.support.tuning import forget_everything


@contextmanager
def rolled_back(subtests: pytest.Subtests, **case: Any) -> Iterator[None]:
    """Let a case fail by itself; take back what it wrote into the database, and let the engine forget it."""
    forget_everything()
    with subtests.test(**case), transaction.atomic():
        try:
            yield
        finally:
            transaction.set_rollback(True)
