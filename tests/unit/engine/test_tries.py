"""How often the quick way is tried, by how often it succeeds."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import repeat

import pytest

from django_jobs.engine.memory import Tries

MOST = 63

MOST = 63


def run(tries: Tries, outcomes: Iterable[bool]) -> int:
    """How many of these are tried; each says whether a try would succeed."""
    count = 0
    for outcome in outcomes:
        if tries.begins():
            count += 1
            tries.note(succeeded=outcome)
    return count


def test_what_succeeds_is_tried_each_time() -> None:
    assert run(Tries(MOST), repeat(True, 100)) == 100


def test_what_is_in_vain_is_hardly_tried_again() -> None:
    assert run(Tries(MOST), repeat(False, 1_000)) <= 20


def test_one_failure_is_soon_forgiven() -> None:
    assert run(Tries(MOST), [True, False, *repeat(True, 98)]) == 99


def test_what_succeeds_again_is_tried_each_time_again() -> None:
    tries = Tries(MOST)
    run(tries, repeat(False, 1_000))
    run(tries, repeat(True, 3 * MOST))
    assert run(tries, repeat(True, 100)) == 100


@pytest.mark.parametrize(("one_in", "most"), [(2, 500), (4, 150)])
def test_what_is_often_in_vain_is_tried_less(one_in: int, most: int) -> None:
    assert run(Tries(MOST), [number % one_in == 0 for number in range(1_000)]) <= most
