"""The ideal that measured makespans are compared with."""

from __future__ import annotations

from lab.benchmarks.flow.ideal import Buckets, Item, Loss, least, makespan


def items(count: int, seconds: float, *buckets: tuple[str, int]) -> list[Item]:
    found: Buckets = buckets
    return [Item(seconds, "default", found)] * count


def test_without_limits_all_slots_are_busy() -> None:
    jobs = items(8, 1.0)

    assert makespan(jobs, {"default": 2}, threads=2) == 2.0
    assert least(jobs, {"default": 4}) == 2.0


def test_a_limit_leaves_slots_to_others_and_what_takes_longest_goes_first() -> None:
    jobs = items(4, 1.0, ("free", 10)) + items(4, 1.0, ("narrow", 1))

    assert makespan(jobs, {"default": 2}, threads=1) == 4.0
    assert least(jobs, {"default": 2}) == 4.0


def test_a_job_counts_for_each_of_its_limits() -> None:
    jobs = items(2, 1.0, ("all", 2), ("a", 1)) + items(2, 1.0, ("all", 2), ("b", 1))

    assert makespan(jobs, {"default": 1}, threads=4) == 2.0


def test_what_dies_with_a_process_begins_anew_and_the_process_is_absent_for_a_while() -> None:
    jobs = items(4, 1.0)

    assert makespan(jobs, {"default": 1}, 2, [Loss(0.5, "default", 1.0)]) == 3.5
    assert makespan(jobs, {"default": 2}, 2, [Loss(0.5, "default", 1.0)]) == 2.0
