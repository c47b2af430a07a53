"""Tasks belong to the system organization here, but where a test says otherwise."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _system(settings: Any, broker: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SYSTEM_ORGANIZATION": "SYSTEM"}
