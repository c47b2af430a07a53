"""Which jobs share a lane: those whose values JSON has for the same."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import verbs


def test_without_a_key_there_is_one_lane() -> None:
    assert verbs.lane_key("", {"customer": 7}) == 0


def test_a_lane_is_a_number_that_every_database_stores_and_never_that_of_no_key() -> None:
    lanes = {verbs.lane_key("n", {"n": number}) for number in range(2_000)}
    assert len(lanes) == 2_000
    assert 0 not in lanes
    assert all(-(2**63) <= lane < 2**63 for lane in lanes)


def test_a_lane_stays_the_same_from_release_to_release() -> None:
    assert verbs.lane_key("customer", {"customer": "C-7"}) == 1915143669745099379


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (0, -0.0),
        (10**22, 1e22),
        (10**30, 1e30),
        ({"a": 1, "b": [2.0]}, {"b": [2], "a": 1}),
        (None, None),
    ],
)
def test_values_that_json_has_for_the_same_share_a_lane(one: Any, other: Any) -> None:
    assert verbs.lane_key("n", {"n": one}) == verbs.lane_key("n", {"n": other, "more": 1})


def test_other_values_have_lanes_of_their_own() -> None:
    values: list[Any] = [
        1,
        "1",
        True,
        "true",
        None,
        "null",
        "",
        [],
        {},
        [1],
        1.5,
        "é",
        "e",
        "x" * 10**6,
        "x" * 10**6 + "y",
    ]
    assert len({verbs.lane_key("n", {"n": value}) for value in values}) == len(values)


def test_a_parameter_that_is_missing_counts_as_null() -> None:
    assert verbs.lane_key("n", {}) == verbs.lane_key("n", {"n": None}) != 0


def test_lanes_of_two_keys_differ() -> None:
    assert verbs.lane_key("a", {"a": 1, "b": 1}) != verbs.lane_key("b", {"a": 1, "b": 1})
