"""A minute of the long run."""

from __future__ import annotations

from typing import Final

import pytest

from lab.faults import launcher

SECONDS: Final = "60"


def test_no_job_is_lost_or_runs_twice_under_random_faults(request: pytest.FixtureRequest) -> None:
    launcher.check(request, "lab.faults.endurance", "--seconds", SECONDS, "--slots", request.config.getoption("slots"))
