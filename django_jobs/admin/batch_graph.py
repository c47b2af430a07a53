"""The jobs of a batch that depend on each other, as boxes and links that can be drawn.

Up to MAX_BOXES jobs have a box each. Of more, those of one type and status that are as many steps from the first share
a box. What is read and what is drawn has a bound, however large the batch is.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from django_jobs.admin.graph_layout import Layout, Link, arrange, fold, layers_of
from django_jobs.models import Job, JobDependency
from django_jobs.models.job import format_job_id

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
