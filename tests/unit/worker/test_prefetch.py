"""How many jobs are taken at once, by how long they take."""

from __future__ import annotations

import pytest

from django_jobs.worker.child_state import MOST_TYPES
from tests.support.verbs import MAX_SET, PrefetchEstimator


@pytest.fixture
def estimator() -> PrefetchEstimator:
    return PrefetchEstimator()


def test_of_unknown_types_one_job_fits(estimator: PrefetchEstimator) -> None:
    assert estimator.fits(["new", "new", "new"]) == 1


def test_fast_jobs_all_fit(estimator: PrefetchEstimator) -> None:
    estimator.ran("fast", 0.001)
    assert estimator.fits(["fast"] * 10) == 10


def test_only_what_starts_within_thirty_milliseconds_fits(estimator: PrefetchEstimator) -> None:
    estimator.ran("medium", 0.02)
    assert estimator.fits(["medium"] * 10) == 2


def test_nothing_fits_behind_a_job_of_an_unknown_type(estimator: PrefetchEstimator) -> None:
    estimator.ran("fast", 0.001)
    assert estimator.fits(["fast", "new", "fast"]) == 2


def test_none_of_no_jobs_fits(estimator: PrefetchEstimator) -> None:
    assert estimator.fits([]) == 0


def test_a_sudden_slow_run_counts_at_once(estimator: PrefetchEstimator) -> None:
    estimator.ran("fast", 0.001)
    estimator.ran("fast", 1.0)
    assert estimator.fits(["fast"] * 10) == 1


def test_a_fast_run_of_a_slow_type_counts_little(estimator: PrefetchEstimator) -> None:
    estimator.ran("slow", 1.0)
    estimator.ran("slow", 0.001)
    assert estimator.fits(["slow"] * 10) == 1


def test_of_unknown_types_one_job_a_free_slot_fits(estimator: PrefetchEstimator) -> None:
    assert estimator.fits(["new"] * 10, free=4, slots=5) == 4


def test_what_starts_within_thirty_milliseconds_in_one_of_many_slots_fits(estimator: PrefetchEstimator) -> None:
    estimator.ran("medium", 0.0201)
    assert estimator.fits(["medium"] * 100, free=0, slots=10) == 15


def test_of_very_many_what_starts_within_fifty_milliseconds_fits(estimator: PrefetchEstimator) -> None:
    estimator.ran("short", 0.0051)
    assert estimator.fits(["short"] * 500, free=0, slots=30) == 295


@pytest.mark.parametrize(("seconds", "ahead"), [(10.0, 0), (0.051, 5), (0.0099, 30), (0.0051, 57), (0.0049, 100)])
def test_busy_slots_start_as_many_soon(estimator: PrefetchEstimator, seconds: float, ahead: int) -> None:
    estimator.ran("any", seconds)
    assert estimator.ahead(10) == ahead


def test_of_jobs_of_unknown_length_none_is_claimed_ahead(estimator: PrefetchEstimator) -> None:
    assert estimator.ahead(10) == 0


def test_a_new_worker_asks_for_one_ticket_a_time(estimator: PrefetchEstimator) -> None:
    assert estimator.set_size() == 1


@pytest.mark.parametrize(("seconds", "size"), [(10.0, 1), (0.029, 2), (0.0101, 3), (0.0, MAX_SET)])
def test_the_set_is_what_starts_soon(estimator: PrefetchEstimator, seconds: float, size: int) -> None:
    estimator.ran("any", seconds)
    assert estimator.set_size() == size


def test_a_new_worker_knows_no_type_that_is_quick(estimator: PrefetchEstimator) -> None:
    assert estimator.quick_types(4) == {}


@pytest.mark.parametrize(("seconds", "window"), [(10.0, None), (0.0201, None), (0.0101, 4), (0.0, 400)])
def test_the_window_of_a_type_is_what_the_slots_finish_of_it_in_twenty_milliseconds(
    estimator: PrefetchEstimator, seconds: float, window: int | None
) -> None:
    estimator.ran("other", 0.0)
    estimator.ran("any", seconds)
    assert estimator.quick_types(2) == {"other": 400, **({"any": window} if window else {})}


@pytest.mark.parametrize(("refill", "window"), [(0.004, None), (0.1, 8), (60.0, 18)])
def test_the_window_holds_what_slots_finish_while_a_refill_is_under_way(
    estimator: PrefetchEstimator, refill: float, window: int | None
) -> None:
    estimator.ran("medium", 0.03)
    estimator.refilled(refill)
    assert estimator.quick_types(2).get("medium") == window


def test_of_jobs_that_were_claimed_ahead_few_start_soon_once_their_type_is_slow(estimator: PrefetchEstimator) -> None:
    estimator.ran("any", 0.001)
    assert not estimator.wait_too_long(["any"] * 30)
    assert not estimator.wait_too_long([])
    estimator.ran("any", 0.05)
    assert estimator.wait_too_long(["any"] * 30)


def test_of_very_many_types_those_that_ran_last_are_told(estimator: PrefetchEstimator) -> None:
    for number in [*range(1000), 0]:
        estimator.ran(f"type-{number}", 0.001)
    told = estimator.quick_types(1)
    assert len(told) == MOST_TYPES
    assert {"type-0", "type-999"} <= told.keys()
