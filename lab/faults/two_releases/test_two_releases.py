"""From one release to the other, both ways round."""

from __future__ import annotations

import re

import pytest

from lab.faults import launcher
from lab.faults.two_releases.release import NONE_YET, commits


def test_each_release_has_a_commit() -> None:
    found = [f"{version} {commit}" for version, commit in commits().items()]
    assert [line for line in found if not re.fullmatch(r"\d+\.\d+\.\d+ [0-9a-f]{40}", line)] == []


@pytest.mark.skipif(not commits(), reason=NONE_YET)
@pytest.mark.parametrize("first", ["old", "new"])
def test_from_one_release_to_the_other_no_job_is_lost_or_runs_twice(request: pytest.FixtureRequest, first: str) -> None:
    launcher.check(request, "lab.faults.two_releases", "--first", first)
