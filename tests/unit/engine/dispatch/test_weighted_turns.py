"""Turns by weight: shares hold in any window, from pass to pass and from page to page, and nobody starves."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from django_jobs.engine.dispatch.turns import MOST_KEYS
from tests.support import verbs
from tests.support.fair_shares import rooms, serve, worst_deviation

#: One job more or less of ten, and what a window's length is rounded by.
ONE_OF_TEN = 0.105
WEIGHTS = st.floats(0.25, 8.0)


def drawn(count: int, seed: int, least: float = 0.25, most: float = 8.0) -> dict[int, float]:
    numbers = random.Random(seed)
    return {key: numbers.uniform(least, most) for key in range(count)}


def window_of(weights: Mapping[int, float], due: float = 10.0) -> int:
    return round(due * sum(weights.values()) / min(weights.values()))


def take(count: int, order: list[Any], weights: dict[Any, float], leads: dict[str, float], **kwargs: Any) -> list[Any]:
    going = verbs.WeightedTurns(order, weights, leads, **kwargs)
    found = list(itertools.islice(going, count))
    going.end()
    return found


def test_of_equal_weights_each_has_one_job_in_turn_and_nothing_is_kept() -> None:
    leads: dict[str, float] = {}
    assert take(7, ["a", "b", "c"], {"a": 2.0, "b": 2.0, "c": 2.0}, leads) == list("abcabca")
    assert leads == {}


def test_a_key_without_a_weight_weighs_one() -> None:
    assert take(6, ["a", "b"], {"a": 2.0}, {}) == list("abaaba")


def test_a_heavy_keys_jobs_lie_between_those_of_others() -> None:
    found = take(20, ["heavy", *"abcdefghij"], {"heavy": 10.0}, {})
    assert found.count("heavy") >= 10
    assert Counter(found)["a"] == 1
    mixed = take(60, ["a", "b", "c"], {"a": 2.0, "b": 1.0, "c": 1.0}, {})
    assert max(len(list(group)) for _, group in itertools.groupby(mixed)) <= 2


def test_a_light_key_waits_for_no_more_than_its_weight_asks() -> None:
    found = take(220, ["heavy", "light"], {"heavy": 10.0}, {})
    places = [place for place, key in enumerate(found) if key == "light"]
    assert {later - earlier for earlier, later in itertools.pairwise(places)} <= {10, 11, 12}


@pytest.mark.parametrize(("seed", "most_room"), [(0, 20), (1, 300), (2, 300)])
def test_200_random_weights_get_their_shares_in_any_window(seed: int, most_room: int) -> None:
    weights = drawn(200, seed)
    window = window_of(weights)
    served = serve(weights, window + window // 3, rooms(seed, most_room))
    assert worst_deviation(served, weights, among=25) <= ONE_OF_TEN


def test_shares_hold_from_page_to_page(subtests: pytest.Subtests) -> None:
    for count, most_room in ((200, 300), (200, 20), (900, 300)):
        with subtests.test(count=count, most_room=most_room):
            weights = drawn(count, seed=1, least=0.5, most=4.0)
            window = window_of(weights, due=20.0)
            served = serve(weights, window + window // 4, rooms(5, most_room), page=50)
            assert worst_deviation(served, weights, due=20.0, among=20) <= ONE_OF_TEN


def test_pages_that_get_all_the_room_of_a_pass_would_not_hold_them() -> None:
    weights = drawn(200, seed=1)
    served = serve(weights, window_of(weights) * 2, rooms(5), page=50, one_round=False)
    assert worst_deviation(served, weights, among=25) > 0.5


@pytest.mark.parametrize("weight", [0.01, 0.25, 1.0, 8.0, 100.0])
def test_pages_of_equal_weights_take_exact_turns(weight: float) -> None:
    weights = dict.fromkeys(range(130), weight)
    served = serve(weights, 1300, rooms(2, 40), page=50)
    assert set(Counter(served).values()) == {10}


@pytest.mark.parametrize("page", [None, 2])
def test_nobody_starves_at_the_least_weight_beside_the_greatest(page: int | None) -> None:
    weights = {0: 100.0, 1: 0.01, 2: 0.01, 3: 100.0}
    served = serve(weights, 70_000, rooms(3), page=page)
    gaps = [Counter(served[start : start + 30_000]) for start in range(0, 40_001, 10_000)]
    assert all(1 <= got[1] <= 4 and 1 <= got[2] <= 4 for got in gaps)
    assert {1, 2} <= set(served[:300])


def test_more_keys_than_can_be_remembered_come_to_their_shares_in_time() -> None:
    weights = {key: 0.5 if key % 2 else 2.0 for key in range(MOST_KEYS + 300)}
    window = window_of(weights, due=60.0)
    got = Counter(serve(weights, window, rooms(1), page=50))
    heavy = sum(got[key] for key in weights if weights[key] == 2.0)
    assert heavy / window == pytest.approx(0.8, rel=0.02)
    assert all(got[key] / (60.0 * weights[key] / 0.5) == pytest.approx(1.0, abs=0.6) for key in weights)


def test_a_new_key_has_its_first_job_in_its_first_turn() -> None:
    leads: dict[str, float] = {}
    take(1000, ["a", "b"], {"a": 100.0, "b": 1.0}, leads)
    assert "new" in take(3, ["b", "new", "a"], {"a": 100.0, "new": 0.01}, leads)


def test_who_was_away_catches_up_nothing() -> None:
    weights = {"a": 1.0, "b": 2.0}
    leads: dict[str, float] = {}
    take(500, ["b", "c"], {**weights, "c": 3.0}, leads)
    found = take(30, ["a", "b"], weights, leads)
    assert 9 <= found.count("a") <= 11


def test_who_must_not_go_saves_nothing_up_from_page_to_page() -> None:
    weights = {"a": 3.0, "b": 1.0}
    leads: dict[str, float] = {}
    for _ in range(5):
        going = verbs.WeightedTurns(["a", "b"], weights, leads, is_page=True)
        for key in going:
            if key == "a":
                going.drop(key)
        going.end()
    assert take(9, ["a", "b"], weights, leads, is_page=True).count("a") <= 2  # it is due one and a half in a round


def test_who_was_ahead_may_soon_go_again_where_all_weigh_the_same() -> None:
    leads: dict[str, float] = {}
    take(5, ["light", "a", "b"], {"light": 0.1}, leads)
    assert leads["light"] > 5.0
    take(20, ["a", "b"], {}, leads)
    assert "light" not in leads
    take(40, ["a", "b"], {}, leads)
    assert leads == {}


def test_who_weighs_more_than_before_need_not_wait_as_before() -> None:
    leads: dict[str, float] = {}
    take(4, ["light", "a"], {"light": 0.01}, leads)
    assert "light" in take(6, ["a", "light"], {"light": 0.5}, leads)


def test_who_comes_with_one_job_at_a_time_gets_no_more_than_its_share() -> None:
    weights = {"a": 1.0, "b": 1.0, "single": 0.1}
    leads: dict[str, float] = {}
    found: list[str] = []
    for _ in range(300):
        going, taken = verbs.WeightedTurns(["single", "a", "b"], weights, leads), 0
        for key in going:
            if key == "single" and "single" in found[len(found) - taken :]:
                going.drop(key)
                continue
            found.append(key)
            taken += 1
            if taken == 4:
                break
        going.end()
    assert 50 <= found.count("single") <= 62


def test_a_turn_in_which_a_key_is_dropped_is_not_counted(subtests: pytest.Subtests) -> None:
    for is_page in (False, True):
        with subtests.test(is_page=is_page):
            leads: dict[str, float] = {}
            going = verbs.WeightedTurns(["a", "b", "c"], {"a": 0.5, "b": 4.0}, leads, is_page=is_page)
            found = []
            for key in going:
                if key == "a":
                    going.drop(key)
                else:
                    found.append(key)
                if len(found) == 3:
                    break
            going.end()
            assert "a" not in found
            assert "a" not in leads


@pytest.mark.parametrize("weights", [{}, {"a": 3.0}], ids=["even", "weighted"])
def test_turns_end_when_all_are_dropped(weights: dict[str, float]) -> None:
    going = verbs.WeightedTurns(["a", "b"], weights, {})
    left = {"a": 3, "b": 1}
    found = []
    for key in going:
        if not left[key]:
            going.drop(key)
        else:
            left[key] -= 1
            found.append(key)
    going.end()
    assert sorted(found) == ["a", "a", "a", "b"]


def test_no_keys_have_no_turns() -> None:
    assert [take(1, [], {}, {}, is_page=page) for page in (True, False)] == [[], []]


def test_a_page_that_ends_in_the_midst_of_a_visit_goes_on_with_it() -> None:
    leads: dict[str, float] = {}
    weights = {"a": 6.0, "b": 1.0, "c": 1.0}
    going = verbs.WeightedTurns(["a", "b", "c"], weights, leads, is_page=True)
    first = list(itertools.islice(going, 1))
    going.end()
    assert (first, going.cursor) == (["a"], None)
    whole = Counter(first)
    going = verbs.WeightedTurns(["a", "b", "c"], weights, leads, is_page=True)
    whole.update(going)
    going.end()
    assert going.cursor == "c"
    assert whole == Counter(take(9, ["a", "b", "c"], weights, {}, is_page=True))


@given(
    weights=st.lists(WEIGHTS, min_size=2, max_size=12).map(lambda drawn: dict(enumerate(drawn))),
    most_room=st.integers(1, 60),
    seed=st.integers(0, 999),
)
@settings(max_examples=60, deadline=None)
def test_of_two_keys_neither_gets_ahead_by_more_than_a_job_of_each(
    weights: dict[int, float], most_room: int, seed: int
) -> None:
    served = serve(weights, 400, rooms(seed, most_room))
    numbers = random.Random(seed)
    for _ in range(10):
        start, stop = sorted(numbers.sample(range(len(served)), 2))
        got = Counter(served[start:stop])
        for one, other in itertools.combinations(weights, 2):
            ahead = abs(got[one] / weights[one] - got[other] / weights[other])
            assert ahead <= 1 / weights[one] + 1 / weights[other] + 0.02


@pytest.mark.parametrize("page", [None, 20])
@pytest.mark.parametrize("passes", [1, 7])
def test_those_that_always_have_jobs_share_alike_while_others_come_and_go(page: int | None, passes: int) -> None:
    weights = drawn(60, seed=9)
    always = range(0, 60, 2)

    def is_present(key: int, number: int) -> bool:
        return key in always or random.Random(f"{key}-{number // passes}").random() < 0.5

    got = Counter(serve(weights, 12_000, rooms(3, 100), page=page, present=is_present))
    mean = sum(got[key] / weights[key] for key in always) / len(always)
    assert all(abs(got[key] - mean * weights[key]) <= 3.5 for key in always)


def test_shares_hold_while_passes_see_now_all_and_now_a_page() -> None:
    weights = drawn(100, seed=2, least=0.5, most=4.0)
    window = window_of(weights, due=20.0)
    served = serve(weights, window * 2, rooms(1), page=lambda room: max(30, room))
    assert worst_deviation(served, weights, due=20.0, among=25) <= ONE_OF_TEN


@given(
    st.dictionaries(st.integers(), st.floats(0.01, 100.0), min_size=1, max_size=9), st.integers(1, 40), st.booleans()
)
@settings(max_examples=100, deadline=None)
def test_leads_survive_json(weights: dict[int, float], count: int, is_page: bool) -> None:
    leads: dict[str, float] = {}
    take(count, list(weights), weights, leads, is_page=is_page)
    assert json.loads(json.dumps(leads, allow_nan=False)) == leads


def test_leads_are_bounded_and_lose_the_oldest() -> None:
    leads: dict[str, float] = {}
    order = list(range(MOST_KEYS + 100))
    take(len(order), order, drawn(len(order), seed=1), leads)
    assert len(leads) == MOST_KEYS
    assert str(order[-1]) in leads
    assert str(order[0]) not in leads
