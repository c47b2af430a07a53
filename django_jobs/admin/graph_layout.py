"""Places the nodes of a graph in layers, so that all its links lead from left to right and few of them cross.

The method is that of Sugiyama, Tagawa and Toda, "Methods for Visual Understanding of Hierarchical System Structures",
IEEE Transactions on Systems, Man, and Cybernetics 11 (2), 1981:

1. A node's layer is the length of the longest path that leads to it.
2. A link over several layers has a bend in each layer that it passes, so that it is ordered like the nodes there.
3. Layer by layer, forth and back, each node moves to the mean place of its neighbors (their barycenter). The order with
   the fewest crossings is kept.
4. Each node comes as near as it can to the height of its neighbors.

Nothing here knows what a node means.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from typing import Final

Link = tuple[int, int]
#: A place: the layer, and the height in rows.
Place = tuple[int, float]

#: Bends in all. Further long links, those over the most layers, are drawn straight.
MAX_BENDS: Final = 1_500
#: How often the layers are gone through, forth and back.
SWEEPS: Final = 4
#: The height of a bend in rows; a node has one row.
BEND_HEIGHT: Final = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where the nodes are, and the places that each link leads through, its ends included.

    Heights are those of the middle of a node, from 0 on. ``height`` is that of the whole in rows.
    """

    places: dict[int, Place]
    routes: dict[Link, list[Place]]
    layers: int
    height: float


def layers_of(nodes: Iterable[int], links: Iterable[Link]) -> dict[int, int]:
    """Return the layer of each node: 0 where no link leads to it, else one more than that of the last before it.

    This is Kahn's topological sort. Nodes of a circle, which job dependencies cannot form, stay in layer 0.
    """
    layers = dict.fromkeys(nodes, 0)
    waits_for = dict.fromkeys(layers, 0)
    after: dict[int, list[int]] = defaultdict(list)
    for parent, child in links:
        after[parent].append(child)
        waits_for[child] += 1
    ready = [node for node, count in waits_for.items() if not count]
    reached = dict.fromkeys(layers, 0)
    while ready:
        node = ready.pop()
        layers[node] = reached[node]
        for child in after[node]:
            reached[child] = max(reached[child], reached[node] + 1)
            waits_for[child] -= 1
            if not waits_for[child]:
                ready.append(child)
    return layers


def arrange(layers: dict[int, int], links: Iterable[Link]) -> Layout:
    """Return where each node of these layers and each link belongs. Links within a layer or back are left out."""
    drawn = sorted({(a, b) for a, b in links if layers[a] < layers[b]})
    graph = _Graph(layers, drawn)
    graph.order()
    heights = graph.heights()
    places = {item: (layer, heights[item]) for item, layer in graph.layers.items()}
    return Layout(
        places={node: places[node] for node in layers},
        routes={link: [places[item] for item in chain] for link, chain in graph.chains.items()},
        layers=len(graph.columns),
        height=max((height for height in heights.values()), default=0.0) + 1,
    )


class _Graph:
    """Nodes and bends, together the items, by layer. Bends have negative numbers."""

    def __init__(self, layers: dict[int, int], links: Sequence[Link]) -> None:
        self.layers = dict(layers)
        self.chains = self._with_bends(links)
        self.before: dict[int, list[int]] = defaultdict(list)
        self.after: dict[int, list[int]] = defaultdict(list)
        for chain in self.chains.values():
            for a, b in pairwise(chain):
                self.after[a].append(b)
                self.before[b].append(a)
        self.columns: list[list[int]] = [[] for _ in range(max(self.layers.values(), default=-1) + 1)]
        for item, layer in self.layers.items():
            self.columns[layer].append(item)
        self.ranks: dict[int, float] = {}
        for column in self.columns:
            self._rank(column)

    def _with_bends(self, links: Sequence[Link]) -> dict[Link, list[int]]:
        """Return the items that each link leads through, and add the bends to the layers."""
        chains: dict[Link, list[int]] = {}
        bends = 0
        for a, b in sorted(links, key=lambda link: self.layers[link[1]] - self.layers[link[0]]):
            passed = range(self.layers[a] + 1, self.layers[b])
            chain = [a]
            if bends + len(passed) <= MAX_BENDS:
                for layer in passed:
                    bends += 1
                    self.layers[-bends] = layer
                    chain.append(-bends)
            chains[a, b] = [*chain, b]
        return chains

    def order(self) -> None:
        """Put the items of each layer into the order that was found to have the fewest crossings."""
        best, fewest = [list(column) for column in self.columns], self.crossings()
        for _sweep in range(SWEEPS):
            if not fewest:
                break
            for column in self.columns[1:]:
                self._move(column, self.before)
            for column in reversed(self.columns[:-1]):
                self._move(column, self.after)
            if (count := self.crossings()) < fewest:
                best, fewest = [list(column) for column in self.columns], count
        self.columns = best

    def _move(self, column: list[int], neighbors: dict[int, list[int]]) -> None:
        """Sort a layer by the barycenters of its items; one without neighbors stays where it is."""
        rank = self.ranks
        mean = {item: _mean([rank[other] for other in neighbors[item]], rank[item]) for item in column}
        column.sort(key=lambda item: mean[item])
        self._rank(column)

    def _rank(self, column: list[int]) -> None:
        """Note each item's place in its layer, from 0 to 1, so that layers of different lengths compare."""
        self.ranks |= {item: (at + 0.5) / len(column) for at, item in enumerate(column)}

    def crossings(self) -> int:
        """Return how many pairs of links cross: the inversions between each layer and those that it leads to."""
        at = {item: place for column in self.columns for place, item in enumerate(column)}
        total = 0
        for column in self.columns:
            ends: list[int] = []
            for item in column:
                targets = sorted(at[other] for other in self.after[item])
                total += sum(len(ends) - bisect_right(ends, target) for target in targets)
                for target in targets:
                    insort(ends, target)
        return total

    def heights(self) -> dict[int, float]:
        """Return the height of each item: as near to its neighbors' as the order of its layer allows."""
        heights: dict[int, float] = {}
        for column in self.columns:
            heights |= self._stacked(column, [self.before], heights)
        for column in reversed(self.columns):
            heights |= self._stacked(column, [self.before, self.after], heights)
        least = min(heights.values(), default=0.0)
        return {item: round(height - least, 2) for item, height in heights.items()}

    @staticmethod
    def _stacked(
        column: list[int], sides: Sequence[dict[int, list[int]]], heights: dict[int, float]
    ) -> dict[int, float]:
        """Return heights of a layer's items in their order, without overlap, near those of their neighbors."""
        middles: list[float] = []
        wanted: list[float] = []
        for place, item in enumerate(column):
            near = [heights[other] for side in sides for other in side[item]]
            wanted.append(_mean(near, heights.get(item, float(place))))
            above = middles[-1] + (_size(column[place - 1]) + _size(item)) / 2 if middles else wanted[0]
            middles.append(max(wanted[-1], above))
        shift = sum(wanted) / len(wanted) - sum(middles) / len(middles) if middles else 0.0
        return {item: middle + shift for item, middle in zip(column, middles, strict=True)}


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _size(item: int) -> float:
    return BEND_HEIGHT if item < 0 else 1.0


def fold(keys: dict[int, tuple[object, ...]], links: Iterable[Link]) -> tuple[dict[int, list[int]], dict[Link, int]]:
    """Return the nodes with equal keys by the first of them, and how many links lead from one such group to another."""
    first: dict[tuple[object, ...], int] = {}
    groups: dict[int, list[int]] = defaultdict(list)
    for node, key in sorted(keys.items(), key=itemgetter(0)):
        groups[first.setdefault(key, node)].append(node)
    counted: dict[Link, int] = defaultdict(int)
    for a, b in links:
        counted[first[keys[a]], first[keys[b]]] += 1
    return dict(groups), dict(counted)
