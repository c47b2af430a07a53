"""From one release to the other, both ways round."""

from __future__ import annotations

import pytest

from lab.faults import launcher


@pytest.mark.parametrize("first", ["old", "new"])
def test_from_one_release_to_the_other_no_job_is_lost_or_runs_twice(request: pytest.FixtureRequest, first: str) -> None:
    launcher.check(request, "lab.faults.two_releases", "--first", first)
