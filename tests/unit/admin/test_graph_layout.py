"""Where the nodes of a graph are placed."""

from __future__ import annotations

import random
import time
from itertools import pairwise

import pytest

from django_jobs.admin.graph import BEND_HEIGHT, MAX_BENDS, Layout, arrange, fold, layers_of

DIAMOND = [(1, 2), (1, 3), (2, 4), (3, 4)]


def laid_out(links: list[tuple[int, int]], *others: int) -> Layout:
    nodes = sorted({node for link in links for node in link} | set(others))
    return arrange(layers_of(nodes, links), links)


def random_links(nodes: int, links: int) -> list[tuple[int, int]]:
    chance = random.Random(7)
    pairs = ((chance.randrange(nodes), chance.randrange(nodes)) for _ in range(links))
    return sorted({(min(pair), max(pair)) for pair in pairs if pair[0] != pair[1]})


def test_a_node_is_one_layer_behind_the_last_that_leads_to_it() -> None:
    links = [*DIAMOND, (1, 4), (4, 5)]
    assert layers_of([1, 2, 3, 4, 5, 6], links) == {1: 0, 2: 1, 3: 1, 4: 2, 5: 3, 6: 0}


def test_a_circle_which_cannot_be_ends_the_search_too() -> None:
    assert layers_of([1, 2], [(1, 2), (2, 1)]) == {1: 0, 2: 0}
    assert arrange({1: 0, 2: 0}, [(1, 2), (2, 1)]).routes == {}


def test_nodes_of_a_layer_never_overlap() -> None:
    layout = laid_out(random_links(60, 120))
    for layer in range(layout.layers):
        rows = sorted(row for at, row in layout.places.values() if at == layer)
        assert all(below - above >= 1 - 0.01 for above, below in pairwise(rows))
    assert min(row for _, row in layout.places.values()) >= 0
    assert max(row for _, row in layout.places.values()) <= layout.height - 1


def test_a_parent_stands_at_the_middle_of_its_children() -> None:
    layout = laid_out([(1, 2), (1, 3), (1, 4)])
    assert layout.places[1] == (0, layout.places[3][1])
    assert layout.height == 3


def test_links_that_need_not_cross_do_not() -> None:
    layout = laid_out([(1, 6), (2, 5), (3, 4)])
    assert [layout.places[a][1] - layout.places[b][1] for a, b in ((1, 6), (2, 5), (3, 4))] == [0, 0, 0]


def test_a_long_link_bends_around_the_nodes_that_it_passes() -> None:
    layout = laid_out([(1, 2), (2, 3), (1, 3)])
    start, bend, end = layout.routes[1, 3]
    assert (start, end) == (layout.places[1], layout.places[3])
    assert bend[0] == 1
    assert abs(bend[1] - layout.places[2][1]) >= (1 + BEND_HEIGHT) / 2 - 0.01


def test_there_is_a_bound_to_the_bends() -> None:
    chain = [(node, node + 1) for node in range(100)]
    layout = laid_out([*chain, *[(node, 100) for node in range(90)]])
    bends = sum(len(route) - 2 for route in layout.routes.values())
    assert MAX_BENDS - 100 < bends <= MAX_BENDS
    assert layout.routes[0, 100] == [layout.places[0], layout.places[100]]


@pytest.mark.parametrize("links", [random_links(200, 1_000), [(a, a + 1) for a in range(199)]])
def test_as_much_as_is_ever_drawn_is_laid_out_quickly(links: list[tuple[int, int]]) -> None:
    began = time.process_time()
    laid_out(links)
    assert time.process_time() - began < 2


def test_nothing_is_laid_out_of_nothing() -> None:
    assert laid_out([]) == Layout(places={}, routes={}, layers=0, height=1.0)


def test_equal_nodes_are_folded_into_one_and_their_links_counted() -> None:
    keys: dict[int, tuple[object, ...]] = {1: ("a",), 2: ("b",), 3: ("b",), 4: ("c",)}
    groups, links = fold(keys, DIAMOND)
    assert groups == {1: [1], 2: [2, 3], 4: [4]}
    assert links == {(1, 2): 2, (2, 4): 2}
