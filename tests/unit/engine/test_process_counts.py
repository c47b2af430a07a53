"""What a process counts, and that it never counts too many different things."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest

from django_jobs.engine import process_counts
from django_jobs.engine.process_counts import MAX_PAIRS, OTHER
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
    WORKER,
    ActivityPlace,
    CountKey,
    Moved,
    ProcessCounts,
    Tally,
)


@pytest.fixture
def counts() -> Iterator[ProcessCounts]:
    counts = ProcessCounts()
    verbs.start_counting(counts)
    yield counts
    verbs.stop_counting()


def moved(source: str, target: str, **fields: Any) -> Moved:
    values = {"pk": 1, "attempt": 1, "job_type": "echo", "organization_name": "ORG-1", "priority": 1, "year": 2026}
    words = {"message": "", "actor": WORKER, "worker_name": "w"}
    return Moved(from_status=source, to_status=target, **{**values, **words, **fields})


def test_each_way_out_of_running_is_an_outcome() -> None:
    assert OUTCOMES.keys() == set(TRANSITIONS[Status.RUNNING])


def test_attempts_that_ended_are_counted_and_other_moves_are_not(counts: ProcessCounts) -> None:
    process_counts.count_moves(
        [
            moved(Status.RUNNING, Status.COMPLETED),
            moved(Status.RUNNING, Status.COMPLETED),
            moved(Status.RUNNING, Status.QUEUED),
            moved(Status.QUEUED, Status.RUNNING),
            moved(Status.FAILED, Status.DEAD_LETTER),
        ]
    )
    assert counts.read() == {
        CountKey(ATTEMPTS, "echo", "", "completed"): 2,
        CountKey(ATTEMPTS, "echo", "", "returned"): 1,
    }


def test_run_times_are_counted_by_their_class(counts: ProcessCounts) -> None:
    process_counts.count_run("echo", 1.0)
    process_counts.count_run("echo", 1.01)
    assert counts.read() == {CountKey(RUNS, "echo", detail="0"): 2, CountKey(RUN_SECONDS, "echo"): pytest.approx(2.01)}


def test_the_history_is_counted_as_it_was_summed_up(counts: ProcessCounts) -> None:
    place = ActivityPlace(60, dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "echo", 7)
    tally = Tally("ORG-1", submitted=3, completed=2, died=1, wait_seconds=4.5, wait_histogram={"3": 2})
    process_counts.count_history({place: tally})
    assert counts.read() == {
        CountKey(SUBMITTED, "echo"): 3,
        CountKey(ENDED, "echo", detail="completed"): 2,
        CountKey(ENDED, "echo", detail="dead_letter"): 1,
        CountKey(WAITS, "echo", detail="3"): 2,
        CountKey(WAIT_SECONDS, "echo"): 4.5,
    }


def test_who_does_not_count_is_not_disturbed() -> None:
    process_counts.count_moves([moved(Status.RUNNING, Status.COMPLETED)])
    assert not verbs.is_counting()


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
