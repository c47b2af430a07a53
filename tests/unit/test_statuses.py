"""The words of the machine and its arrows."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Any

import pytest

from django_jobs.contrib.prometheus.exposition import OUTCOMES
from django_jobs.engine.store import values
from django_jobs.management.commands import jobs_submit
from django_jobs.statuses import (
    AWAITING_RETRY,
    AWAITING_TURN,
    DISPATCHABLE,
    FINAL,
    IN_FLIGHT,
    RARE,
    RETRYABLE_BY_HAND,
    TERMINAL,
    TRANSITIONS,
    UNFINISHED,
    UNSUCCESSFUL,
    WAITING,
    WITH_COMPLETED_AT,
    WITH_ERRORS,
    Priority,
    Status,
    may_move,
)
from django_jobs.templatetags import django_jobs as tags

#: The contract's table, written out.
ARROWS = {
    ("Pending", "Queued"),
    ("Queued", "Running"),
    ("Running", "Completed"),
    ("Running", "Failed"),
    ("Running", "Timed Out"),
    ("Running", "Dead Letter"),
    ("Running", "Canceled"),
    ("Running", "Pending"),
    ("Running", "Queued"),
    ("Failed", "Queued"),
    ("Timed Out", "Queued"),
    ("Failed", "Dead Letter"),
    ("Timed Out", "Dead Letter"),
    ("Pending", "Canceled"),
    ("Queued", "Canceled"),
    ("Failed", "Canceled"),
    ("Timed Out", "Canceled"),
    ("Pending", "Dead Letter"),
    ("Queued", "Dead Letter"),
    ("Queued", "Pending"),
    ("Dead Letter", "Pending"),
    ("Failed", "Pending"),
    ("Timed Out", "Pending"),
}
WORDS = ["Pending", "Queued", "Running", "Completed", "Failed", "Timed Out", "Canceled", "Dead Letter"]


def test_the_statuses_are_the_words_of_the_contract() -> None:
    assert Status.values == WORDS
    assert list(map(str, Status.labels)) == WORDS


def test_a_job_may_move_only_along_the_arrows_of_the_contract(subtests: pytest.Subtests) -> None:
    for from_status, to_status in list(itertools.product(WORDS, WORDS)):
        with subtests.test(from_status=from_status, to_status=to_status):
            assert may_move(from_status, to_status) is ((from_status, to_status) in ARROWS)


def test_every_status_has_its_arrows_written_down() -> None:
    assert set(TRANSITIONS) == set(Status)


def test_nothing_leaves_completed_or_canceled() -> None:
    assert {status for status, targets in TRANSITIONS.items() if not targets} == {"Completed", "Canceled"} == FINAL


def test_an_unknown_status_is_refused() -> None:
    with pytest.raises(ValueError, match="Sleeping"):
        may_move("Pending", "Sleeping")


def test_the_groups_hold_what_their_names_say() -> None:
    assert {"Completed", "Canceled", "Dead Letter"} == TERMINAL
    assert {"Pending", "Queued", "Failed", "Timed Out"} == WAITING
    assert {"Queued", "Running"} == IN_FLIGHT
    assert {"Pending", "Failed", "Timed Out"} == DISPATCHABLE
    assert {"Pending", "Queued"} == AWAITING_TURN
    assert {"Failed", "Timed Out"} == AWAITING_RETRY
    assert {"Pending", "Queued", "Failed", "Timed Out", "Running"} == UNFINISHED
    assert {"Canceled", "Dead Letter"} == UNSUCCESSFUL
    assert {"Completed", "Dead Letter"} == WITH_COMPLETED_AT
    assert {"Dead Letter", "Failed", "Timed Out"} == WITH_ERRORS == RETRYABLE_BY_HAND
    assert {"Pending", "Failed", "Timed Out", "Canceled", "Dead Letter"} == RARE


def test_a_priority_is_read_from_its_label_or_number(subtests: pytest.Subtests) -> None:
    cases: list[tuple[Any, Priority]] = [
        ("Low", Priority.LOW),
        ("Normal", Priority.NORMAL),
        ("high", Priority.HIGH),
        (" CRITICAL ", Priority.CRITICAL),
        (0, Priority.LOW),
        (3, Priority.CRITICAL),
        ("2", Priority.HIGH),
        (Priority.NORMAL, Priority.NORMAL),
    ]
    for value, expected in cases:
        with subtests.test(value=value, expected=expected):
            assert Priority.parse(value) is expected


def test_anything_else_is_no_priority(subtests: pytest.Subtests) -> None:
    cases: list[Any] = ["urgent", "", "-1", "1.0", 4, -1, 1.0, True, False, None, [], "²"]
    for value in cases:
        with subtests.test(value=value), pytest.raises(ValueError, match=re.escape(repr(value))):
            Priority.parse(value)


def test_priorities_sort_by_urgency() -> None:
    assert [priority.word for priority in sorted(Priority)] == ["Low", "Normal", "High", "Critical"]


def test_a_priority_has_one_word_in_every_language(bracketed: None) -> None:
    assert Priority.words() == ["Low", "Normal", "High", "Critical"]
    assert Priority.parse("critical") is Priority.CRITICAL
    assert str(Priority.CRITICAL.label) == "[Critical]"


@pytest.mark.parametrize(
    ("table", "statuses"),
    [
        (OUTCOMES, TRANSITIONS[Status.RUNNING]),
        (jobs_submit.ENDS, TERMINAL - {Status.COMPLETED}),
        (values.COUNTED_AS, TERMINAL | AWAITING_RETRY | {Status.RUNNING}),
        (tags.WORDS, frozenset(Status)),
    ],
    ids=["outcomes of attempts", "ends that are waited for", "what is counted", "words for people"],
)
def test_a_table_by_status_has_each_status_that_it_needs(table: Mapping[str, object], statuses: set[Status]) -> None:
    assert {str(status) for status in statuses} <= {str(key) for key in table}
