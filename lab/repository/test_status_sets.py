"""Sets of statuses have names, and stand in one file."""

from __future__ import annotations

from pathlib import Path

import pytest

import django_jobs
from tests.support.status_sets import spelled_sets

SPELLED = [
    "x = (Status.FAILED, Status.TIMED_OUT)",
    "x = [str(Status.FAILED), str(Status.TIMED_OUT)]",
    "x = frozenset({Status.FAILED, Status.TIMED_OUT})",
    'x = ["Failed", "Timed Out"]',
    "x = status == Status.FAILED or status == Status.TIMED_OUT",
]
NAMED = [
    "x = AWAITING_RETRY",
    "x = [Status.QUEUED]",
    "x = {Status.FAILED: 1, Status.TIMED_OUT: 2}",
    "x = WAITING | {Status.RUNNING}",
]


def test_no_other_file_spells_a_set_of_statuses() -> None:
    assert list(spelled_sets(Path(django_jobs.__file__).parent)) == []


@pytest.mark.parametrize("source", SPELLED)
def test_a_spelled_set_is_found(tmp_path: Path, source: str) -> None:
    (tmp_path / "job.py").write_text(source)

    assert list(spelled_sets(tmp_path)) == ["job.py:1"]


@pytest.mark.parametrize("source", NAMED)
def test_names_single_statuses_and_tables_are_accepted(tmp_path: Path, source: str) -> None:
    (tmp_path / "job.py").write_text(source)

    assert list(spelled_sets(tmp_path)) == []
