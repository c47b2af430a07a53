"""How many jobs are taken at once, by how long they take."""

from __future__ import annotations

import pytest

from django_jobs.worker.prefetch import MAX_SET, Pace


@pytest.fixture
def pace() -> Pace:
    return Pace()


def test_of_unknown_types_one_job_fits(pace: Pace) -> None:
    assert pace.fits(["new", "new", "new"]) == 1


def test_fast_jobs_all_fit(pace: Pace) -> None:
    pace.ran("fast", 0.001)
    assert pace.fits(["fast"] * 10) == 10


def test_only_what_starts_within_fifty_milliseconds_fits(pace: Pace) -> None:
    pace.ran("medium", 0.02)
    assert pace.fits(["medium"] * 10) == 3


def test_nothing_fits_behind_a_job_of_an_unknown_type(pace: Pace) -> None:
    pace.ran("fast", 0.001)
    assert pace.fits(["fast", "new", "fast"]) == 2


def test_none_of_no_jobs_fits(pace: Pace) -> None:
    assert pace.fits([]) == 0


def test_a_sudden_slow_run_counts_at_once(pace: Pace) -> None:
    pace.ran("fast", 0.001)
    pace.ran("fast", 1.0)
    assert pace.fits(["fast"] * 10) == 1


def test_a_fast_run_of_a_slow_type_counts_little(pace: Pace) -> None:
    pace.ran("slow", 1.0)
    pace.ran("slow", 0.001)
    assert pace.fits(["slow"] * 10) == 1


def test_a_new_worker_asks_for_one_ticket_a_time(pace: Pace) -> None:
    assert pace.set_size() == 1


@pytest.mark.parametrize(("seconds", "size"), [(10.0, 1), (0.049, 2), (0.0101, 5), (0.0, MAX_SET)])
def test_the_set_is_what_starts_within_fifty_milliseconds(pace: Pace, seconds: float, size: int) -> None:
    pace.ran("any", seconds)
    assert pace.set_size() == size


def test_a_new_worker_wants_one_ticket_a_slot_within_reach(pace: Pace) -> None:
    assert pace.window(4) == 4


@pytest.mark.parametrize(("seconds", "window"), [(10.0, 2), (0.0101, 4), (0.0, 2 * MAX_SET)])
def test_the_window_is_what_the_slots_finish_in_twenty_milliseconds(pace: Pace, seconds: float, window: int) -> None:
    pace.ran("any", seconds)
    assert pace.window(2) == window
