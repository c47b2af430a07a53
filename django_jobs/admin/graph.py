"""Graphs of jobs that depend on each other, as SVG."""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import itemgetter
from typing import Final, NamedTuple

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from django_jobs.admin.writing import format_number, slug, status_word
from django_jobs.models import Job, JobDependency
from django_jobs.models.job import format_job_id
from django_jobs.texts import in_clauses

# The jobs of a batch that depend on each other, as boxes and links that can be drawn.
#
# Up to MAX_BOXES jobs have a box each. Of more, those of one type and status that are as many steps from the first
# share a box. What is read and what is drawn has a bound, however large the batch is.


MAX_BOXES: Final = 200
MAX_DRAWN_LINKS: Final = 1_000
#: Dependencies that are read for a graph, and jobs of a batch that is looked through for them.
MAX_LINKS: Final = 20_000
MAX_JOBS: Final = 20_000
#: Jobs of a larger batch that are looked at, to know whether there is anything to draw.
LOOKED_AT: Final = 500
_COLUMNS: Final = tuple(
    f"{end}__{name}" for end in ("parent", "child") for name in ("pk", "job_type_id", "status", "created_at")
)


class Node(NamedTuple):
    """A job, as far as it is drawn."""

    pk: int
    job_type: str
    status: str
    created_at: dt.datetime

    @property
    def name(self) -> str:
        """Return the job's id."""
        return format_job_id(self.pk, self.created_at.year)


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """What is drawn as one: a job or, if ``count`` is more than one, the jobs whose first is ``node``.

    ``before`` and ``after`` are how many links lead to it and from it.
    """

    node: Node
    count: int
    before: int
    after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A drawing's boxes by number, how many dependencies each of its links stands for, and where all of it belongs.

    ``is_too_large`` says that there are dependencies, but too many to draw: then there are no boxes.
    """

    jobs: int = 0
    boxes: dict[int, Box] = field(default_factory=dict)
    links: dict[Link, int] = field(default_factory=dict)
    layout: Layout | None = None
    is_too_large: bool = False

    @property
    def is_folded(self) -> bool:
        """Return whether a box may stand for several jobs."""
        return len(self.boxes) < self.jobs


TOO_LARGE: Final = Graph(is_too_large=True)


def read_graph(batch_pk: int, total: int) -> Graph | None:
    """Return the graph of a batch with so many jobs, read in one statement; None where none waits for another."""
    links = JobDependency.primary.filter(child__batch_id=batch_pk, parent__batch_id=batch_pk).order_by()
    if total > MAX_JOBS:
        return TOO_LARGE if _some_wait(batch_pk) else None
    rows = list(links.values_list(*_COLUMNS)[: MAX_LINKS + 1])
    if len(rows) > MAX_LINKS:
        return TOO_LARGE
    nodes: dict[int, Node] = {}
    found: list[Link] = []
    for row in rows:
        parent, child = Node(*row[:4]), Node(*row[4:])
        nodes[parent.pk], nodes[child.pk] = parent, child
        found.append((parent.pk, child.pk))
    return make_graph(dict(sorted(nodes.items())), found) if nodes else None


def _some_wait(batch_pk: int) -> bool:
    """Return whether the newest jobs wait for others: to look through all for that would take long, and those that wait
    are submitted last.
    """
    newest = list(Job.primary.filter(batch_id=batch_pk).order_by("-pk").values_list("pk", flat=True)[:LOOKED_AT])
    return JobDependency.primary.filter(child_id__in=newest).exists()


def make_graph(nodes: dict[int, Node], links: list[Link]) -> Graph:
    """Return what is drawn of these jobs."""
    layers = layers_of(nodes, links)
    if len(nodes) <= MAX_BOXES and len(links) <= MAX_DRAWN_LINKS:
        groups, counted = {pk: [pk] for pk in nodes}, dict.fromkeys(links, 1)
    else:
        groups, counted = fold({pk: (layers[pk], node.job_type, node.status) for pk, node in nodes.items()}, links)
    if len(groups) > MAX_BOXES or len(counted) > MAX_DRAWN_LINKS:
        return TOO_LARGE
    before, after = Counter(child for _, child in links), Counter(parent for parent, _ in links)
    boxes = {
        first: Box(
            node=nodes[first],
            count=len(members),
            before=sum(before[pk] for pk in members),
            after=sum(after[pk] for pk in members),
        )
        for first, members in groups.items()
    }
    layout = arrange({first: layers[first] for first in boxes}, counted)
    return Graph(jobs=len(nodes), boxes=boxes, links=counted, layout=layout)


# A graph of jobs as SVG: a box for each job or group of jobs, with a link, its status in words and in color.


#: Pixels.
WIDTH: Final = 212
HEIGHT: Final = 44
COLUMN: Final = WIDTH + 64
ROW: Final = HEIGHT + 12
MARGIN: Final = 8
#: Characters of a job type that fit into a box.
TYPE_LENGTH: Final = 25
#: The width of a link, in pixels, for one dependency and for many.
THIN, THICK = 1.2, 3.0

AddressOf = Callable[[Box], str]


def draw_graph(graph: Graph, address_of: AddressOf, here: int | None = None) -> SafeString:
    """Return the drawing. ``address_of`` says where a box leads; ``here`` is the job whose page it stands on.

    Nothing is drawn of a graph that is too large.
    """
    layout = graph.layout
    if layout is None:
        return SafeString("")
    width = layout.layers * COLUMN - (COLUMN - WIDTH) + 2 * MARGIN
    height = round(layout.height * ROW - (ROW - HEIGHT) + 2 * MARGIN)
    lines = format_html_join("", '<path d="{}" stroke-width="{}"></path>', _lines(graph))
    boxes = format_html_join(
        "", "{}", ((_box(box, layout.places[pk], address_of(box), pk == here),) for pk, box in _in_reading_order(graph))
    )
    return format_html(
        '<svg class="djobs-dag" width="{0}" height="{1}" viewBox="0 0 {0} {1}" role="group" aria-label="{2}">'
        '<g class="djobs-links" aria-hidden="true">{3}</g>{4}</svg>',
        width,
        height,
        _("From left to right: a job waits for those that lead to it."),
        lines,
        boxes,
    )


def _in_reading_order(graph: Graph) -> list[tuple[int, Box]]:
    """Return the boxes layer by layer from above, which is the order in which the keyboard goes through them."""
    places = graph.layout.places if graph.layout else {}
    return sorted(graph.boxes.items(), key=lambda item: places[item[0]])


def _lines(graph: Graph) -> Iterator[tuple[str, float]]:
    routes = graph.layout.routes if graph.layout else {}
    for link, route in routes.items():
        yield _curve(route), THIN if graph.links[link] == 1 else THICK


def _curve(route: list[Place]) -> str:
    """Return a path from the right edge of the first box to the left edge of the last, level through each bend."""
    x, y = _corner(route[0])
    x, y = x + WIDTH, y + HEIGHT / 2
    parts = [f"M{x:.0f},{y:.1f}"]
    for place in route[1:]:
        left, top = _corner(place)
        middle, level = (x + left) / 2, top + HEIGHT / 2
        parts.append(f"C{middle:.0f},{y:.1f} {middle:.0f},{level:.1f} {left:.0f},{level:.1f}")
        x, y = left, level
        if place is not route[-1]:
            x += WIDTH
            parts.append(f"H{x:.0f}")
    return "".join(parts)


def _corner(place: Place) -> tuple[float, float]:
    layer, row = place
    return MARGIN + layer * COLUMN, MARGIN + row * ROW


def _box(box: Box, place: Place, address: str, is_here: bool) -> SafeString:
    x, y = _corner(place)
    name = box.node.job_type
    shown = name if len(name) <= TYPE_LENGTH else f"{name[: TYPE_LENGTH - 1]}…"
    state = f"{_what(box)} · {status_word(box.node.status)}"
    return format_html(
        '<a class="djobs-node {slug}" href="{address}"{current} aria-label="{label}"><title>{words}</title>'
        '<rect class="djobs-box" x="{x}" y="{y}" width="{width}" height="{height}" rx="5"></rect>'
        '<rect class="djobs-edge" x="{x}" y="{y}" width="5" height="{height}" rx="2"></rect>'
        '<text x="{left}" y="{first}">{shown}</text> '
        '<text class="djobs-node-state" x="{left}" y="{second}">{state}</text></a>',
        slug=slug(box.node.status),
        address=address,
        current=mark_safe(' aria-current="page"') if is_here else "",
        words=_words(box),
        x=f"{x:.0f}",
        y=f"{y:.1f}",
        width=WIDTH,
        height=HEIGHT,
        left=f"{x + 14:.0f}",
        first=f"{y + 18:.1f}",
        second=f"{y + 35:.1f}",
        shown=shown,
        state=state,
        # It begins with what is seen: who speaks to the browser says that.
        label=in_clauses([f"{shown} {state}", *_links(box)]),
    )


def _words(box: Box) -> str:
    """Return what a box says, for those who point at it or have it read out."""
    return in_clauses([_what(box), box.node.job_type, status_word(box.node.status), *_links(box)])


def _what(box: Box) -> str:
    return box.node.name if box.count == 1 else f"{capfirst(_('jobs'))}: {format_number(box.count)}"


def _links(box: Box) -> Iterator[str]:
    if box.before:
        yield f"{_('Waits for')}: {format_number(box.before)}"
    if box.after:
        yield f"{_('Others that wait for it')}: {format_number(box.after)}"


# Places the nodes of a graph in layers, so that all its links lead from left to right and few of them cross.
#
# The method is that of Sugiyama, Tagawa and Toda, "Methods for Visual Understanding of Hierarchical System Structures",
# IEEE Transactions on Systems, Man, and Cybernetics 11 (2), 1981:
#
# 1. A node's layer is the length of the longest path that leads to it.
# 2. A link over several layers has a bend in each layer that it passes, so that it is ordered like the nodes there.
# 3. Layer by layer, forth and back, each node moves to the mean place of its neighbors (their barycenter). The order
#    with the fewest crossings is kept.
# 4. Each node comes as near as it can to the height of its neighbors.
#
# Nothing here knows what a node means.


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
