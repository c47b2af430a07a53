"""What a process counts, and that it never counts too many different things."""

from __future__ import annotations

import datetime as dt

import pytest

from django_jobs.engine.insight.rollups import MAX_PAIRS, OTHER
from tests.support import verbs
from tests.support.verbs import COUNTED_TYPES, ActivityPlace, ProcessCounts, Tally

ONE = Tally(submitted=1)


def submitted(counts: ProcessCounts) -> dict[tuple[str, str], int]:
    return {place: tally.submitted for place, tally in counts.read().items()}


def test_the_history_is_counted_as_it_was_summed_up() -> None:
    counts = ProcessCounts()
    place = ActivityPlace(60, dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "echo", 7)
    tally = Tally("ORG-1", submitted=3, completed=2, died=1, wait_seconds=4.5, wait_histogram={"3": 2})
    tally.attempts.update({"Completed": 2, "Queued": 1, "Pending": 1})
    tally.measure("attempt", 2.0, "0", 2)
    verbs.start_counting(counts)
    try:
        for _ in range(2):
            verbs.count_history({place: tally})
    finally:
        verbs.stop_counting()
    counted = counts.read()["echo", ""]
    assert (counted.submitted, counted.completed, counted.died, counted.wait_histogram) == (6, 4, 2, {"3": 4})
    assert (counted.wait_seconds, counted.attempt_seconds, counted.attempt_histogram) == (9.0, 4.0, {"0": 4})
    assert counted.attempts == {"Completed": 4, "Queued": 2, "Pending": 2}


@pytest.mark.parametrize("is_clean", [True, False])
def test_ends_of_children_are_counted(is_clean: bool) -> None:
    counts = ProcessCounts()
    verbs.start_counting(counts)
    try:
        verbs.count_exit(is_clean=is_clean)
    finally:
        verbs.stop_counting()
    assert counts.exits == {"clean": int(is_clean), "unexpected": int(not is_clean)}


def test_the_types_that_come_after_the_first_are_counted_together() -> None:
    counts = ProcessCounts()
    for number in (*range(COUNTED_TYPES + 5), 0):
        counts.add(f"type-{number}", "", ONE)
    found = submitted(counts)
    assert len(found) == COUNTED_TYPES + 1
    assert (found[OTHER, ""], found["type-0", ""]) == (5, 2)


def test_organizations_are_told_apart_only_as_far_as_the_setting_says() -> None:
    none, two = ProcessCounts(), ProcessCounts(organizations=2)
    for counts in (none, two):
        for number in range(4):
            counts.add("echo", f"ORG-{number}", ONE)
    assert submitted(none) == {("echo", ""): 4}
    assert submitted(two) == {("echo", "ORG-0"): 1, ("echo", "ORG-1"): 1, ("echo", OTHER): 2}


def test_pairs_of_a_type_and_an_organization_are_bounded_too() -> None:
    counts = ProcessCounts(organizations=1_000)
    for number in range(150 * 100):
        counts.add(f"type-{number % 150}", f"ORG-{number // 150}", ONE)
    found = submitted(counts)
    assert sum(found.values()) == 150 * 100
    assert len(found) <= MAX_PAIRS + COUNTED_TYPES
