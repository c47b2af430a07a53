"""Sets of statuses have names, and stand in one file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

import django_jobs
from django_jobs.engine import process_counts
from django_jobs.engine.store import values
from django_jobs.management import job_watch
from django_jobs.statuses import AWAITING_RETRY, TERMINAL, TRANSITIONS, Status
from django_jobs.templatetags import job_words
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


@pytest.mark.parametrize(
    ("table", "statuses"),
    [
        (process_counts.OUTCOMES, TRANSITIONS[Status.RUNNING]),
        (job_watch.ENDS, TERMINAL - {Status.COMPLETED}),
        (values.COUNTED_AS, TERMINAL | AWAITING_RETRY | {Status.RUNNING}),
        (job_words.WORDS, frozenset(Status)),
    ],
    ids=["outcomes of attempts", "ends that are waited for", "what is counted", "words for people"],
)
def test_a_table_by_status_has_each_status_that_it_needs(table: Mapping[str, object], statuses: set[Status]) -> None:
    assert {str(status) for status in statuses} <= {str(key) for key in table}
