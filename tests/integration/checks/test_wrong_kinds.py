"""A setting that is of another kind than it must be is told by its own check, and stops no other one."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import run_checks

from django_jobs.conf import DEFAULTS


@pytest.mark.parametrize(
    ("name", "check_id"),
    [("HANDLER_MODULES", "E005"), ("QUEUES", "E001"), ("WEBSOCKET_ORIGINS", "E017"), ("POOLS", "E023")],
)
@pytest.mark.parametrize("value", [None, 5, "jobs"])
def test_a_setting_of_another_kind_stops_no_check(settings: Any, name: str, check_id: str, value: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, name: value}
    found = [message.id for message in run_checks(tags=["django_jobs"]) if message.is_serious()]
    assert f"django_jobs.{check_id}" in found


@pytest.mark.slow
@pytest.mark.parametrize("value", [None, "jobs", [], {}, 10**400], ids=["none", "text", "list", "dict", "huge"])
def test_no_setting_stops_a_check(subtests: pytest.Subtests, settings: Any, value: Any) -> None:
    before = settings.DJANGO_JOBS
    for name in DEFAULTS:
        with subtests.test(name=name):
            settings.DJANGO_JOBS = {**before, name: value}
            run_checks(tags=["django_jobs"])
