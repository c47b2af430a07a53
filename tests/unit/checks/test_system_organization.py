"""The system check of the setting that names the organization of work of no tenant."""

from __future__ import annotations

import uuid
from typing import Any

from tests.support.checks import checked


def test_nothing_and_an_id_are_fine(settings: Any) -> None:
    for name in (None, "SYSTEM", 7, uuid.uuid4()):
        settings.DJANGO_JOBS = {"SYSTEM_ORGANIZATION": name}
        assert checked("E041") == []


def test_anything_else_is_an_error(settings: Any) -> None:
    for name in ("", True, ["SYSTEM"], "x" * 141, "a\0b"):
        settings.DJANGO_JOBS = {"SYSTEM_ORGANIZATION": name}
        assert [message.id for message in checked("E041")] == ["django_jobs.E041"]
