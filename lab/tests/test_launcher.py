"""What a suite with servers of its own says when it fails."""

from __future__ import annotations

import pytest

from lab.faults import launcher


def test_of_a_run_that_found_something_the_findings_are_told() -> None:
    report = "seed 7\nruns   3\n\nfindings: 2\n  - Job 1 is gone.\n  - Job 2 ran twice."

    assert launcher.reason(report) == "findings: 2\n  - Job 1 is gone.\n  - Job 2 ran twice."


def test_of_a_run_that_came_to_no_judgment_the_last_is_told_that_it_said() -> None:
    report = "\n".join([*map(str, range(100)), "initdb: Permission denied", ""])

    assert launcher.reason(report).endswith("99\ninitdb: Permission denied")
    assert len(launcher.reason(report)) < len(report)


def test_a_failure_names_its_reason(request: pytest.FixtureRequest) -> None:
    with pytest.raises(AssertionError, match="invalid float value: 'many'"):
        launcher.check(request, "lab.faults.endurance", "--seconds", "many")
