"""What a process counts, and that it never counts too many different things."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest

from django_jobs.engine.insight.rollups import MAX_PAIRS, OTHER
from django_jobs.statuses import TRANSITIONS, Status
from tests.support import verbs
from tests.support.verbs import (
    ATTEMPTS,
    COUNTED_TYPES,
    ENDED,
    OUTCOMES,
    RUN_SECONDS,
    RUNS,
    SUBMITTED,
    WAIT_SECONDS,
    WAITS,
    ActivityPlace,
    CountKey,
    ProcessCounts,
    Tally,
)


@pytest.fixture
def counts() -> Iterator[ProcessCounts]:
    counts = ProcessCounts()
    verbs.start_counting(counts)
    yield counts
    verbs.stop_counting()


def test_each_way_out_of_running_is_an_outcome() -> None:
    assert OUTCOMES.keys() == set(TRANSITIONS[Status.RUNNING])


def test_the_history_is_counted_as_it_was_summed_up(counts: ProcessCounts) -> None:
    place = ActivityPlace(60, dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "echo", 7)
    tally = Tally("ORG-1", submitted=3, completed=2, died=1, wait_seconds=4.5, wait_histogram={"3": 2})
    tally.attempts.update({"Completed": 2, "Queued": 1, "Pending": 1})
    tally.measure("attempt", 2.0, "0", 2)
    verbs.count_history({place: tally})
    assert counts.read() == {
        CountKey(SUBMITTED, "echo"): 3,
        CountKey(ENDED, "echo", detail="completed"): 2,
        CountKey(ENDED, "echo", detail="dead_letter"): 1,
        CountKey(WAITS, "echo", detail="3"): 2,
        CountKey(WAIT_SECONDS, "echo"): 4.5,
        CountKey(ATTEMPTS, "echo", detail="completed"): 2,
        CountKey(ATTEMPTS, "echo", detail="returned"): 2,
        CountKey(RUNS, "echo", detail="0"): 2,
        CountKey(RUN_SECONDS, "echo"): 2.0,
    }


def test_the_types_that_come_after_the_first_are_counted_together() -> None:
    counts = ProcessCounts()
    counts.add((CountKey(RUN_SECONDS, f"type-{number}"), 1) for number in range(COUNTED_TYPES + 5))
    counts.add([(CountKey(RUN_SECONDS, "type-0"), 1)])
    found = counts.read()
    assert len(found) == COUNTED_TYPES + 1
    assert (found[CountKey(RUN_SECONDS, OTHER)], found[CountKey(RUN_SECONDS, "type-0")]) == (5, 2)


def test_organizations_are_told_apart_only_as_far_as_the_setting_says() -> None:
    none, two = ProcessCounts(), ProcessCounts(organizations=2)
    for counts in (none, two):
        counts.add((CountKey(SUBMITTED, "echo", f"ORG-{number}"), 1) for number in range(4))
    assert none.read() == {CountKey(SUBMITTED, "echo"): 4}
    assert {key.organization: number for key, number in two.read().items()} == {"ORG-0": 1, "ORG-1": 1, OTHER: 2}


def test_pairs_of_a_type_and_an_organization_are_bounded_too() -> None:
    counts = ProcessCounts(organizations=1_000)
    counts.add(
        (CountKey(SUBMITTED, f"type-{number % 150}", f"ORG-{number // 150}"), 1) for number in range(150 * 1_000)
    )
    assert len(counts.read()) <= MAX_PAIRS + COUNTED_TYPES
