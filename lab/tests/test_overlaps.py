"""What says whether limits held bites, and accuses nobody."""

from __future__ import annotations

from tests.support.overlaps import Crowd, Run, crowd, most_starts, runs_of, waits_for_freed_places, worst_crowd
from tests.support.record import Event


def run(began: float, ended: float, pk: int = 1) -> Run:
    return Run(pk, 1, 100, began, ended)


def test_runs_that_overlap_are_too_many_and_those_that_meet_are_not() -> None:
    assert crowd([run(0, 2), run(2, 3)], limit=1) == Crowd(1, 0)
    assert crowd([run(0, 2), run(1, 3), run(1.5, 4)], limit=2) == Crowd(3, 1)


def test_each_group_has_the_limit_for_itself() -> None:
    runs = [run(0, 2, pk=1), run(1, 3, pk=2), run(1, 3, pk=4)]

    assert worst_crowd(runs, lambda item: item.pk % 2, limit=1) == Crowd(2, 1)


def test_a_killed_run_ends_at_the_kill_and_one_that_began_after_it_at_once() -> None:
    events = [Event("begin", 1, 1, 7, 1.0), Event("begin", 2, 1, 8, 1.5), Event("begin", 3, 1, 7, 5.0)]
    events += [Event("end", 2, 1, 8, 2.0, "TransientError")]

    found = runs_of(events, {7: 4.0}, until=9.0)

    assert [(item.pk, item.ended, item.how) for item in found] == [
        (1, 4.0, ""),
        (2, 2.0, "TransientError"),
        (3, 5.0, ""),
    ]


def test_a_window_may_begin_anywhere_and_does_not_hold_its_end() -> None:
    assert most_starts([0.0, 0.9, 1.0, 1.8], window=1.0) == 3
    assert most_starts([0.0, 1.0, 2.0], window=1.0) == 1


def test_a_freed_place_waits_from_the_end_to_the_next_beginning() -> None:
    assert waits_for_freed_places([run(0, 1), run(1.25, 2), run(2.5, 3)], limit=1) == [0.25, 0.5]
    assert waits_for_freed_places([run(0, 1), run(5, 6)], limit=2) == []
