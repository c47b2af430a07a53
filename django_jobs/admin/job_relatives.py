"""The jobs that a job waits for, those that wait for it, and those that its handler submitted."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from django.db.models import QuerySet
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_jobs.admin.batch_graph import Box, Node, make_graph
from django_jobs.admin.formatting import badge
from django_jobs.admin.graph_drawing import draw_graph
from django_jobs.admin.monitor_links import Links
from django_jobs.engine.store.counting import capped_count
from django_jobs.models import Job, JobDependency
from django_jobs.models.job import format_job_id
from django_jobs.statuses import UNFINISHED

ROWS: Final = 10
ALL_ROWS: Final = 1_000
#: Boxes on each side of the job in its graph.
DRAWN: Final = 6
#: Submitted jobs among which the newest are looked for: an index finds those of a job, but in another order.
LOOKED_AT: Final = 1_000
_COLUMNS: Final = ("pk", "job_type_id", "status", "created_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class Relative:
    """A related job in one line."""

    pk: int
    name: str
    job_type: str
    badge: Any
    node: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Relatives:
    """The first of a job's parents or children, or the newest of those that it submitted.

    ``count`` is how many there are, ``is_counted_out`` if it is a bound.
    """

    key: str
    title: str
    jobs: list[Relative]
    count: int
    is_counted_out: bool

    @property
    def is_cut(self) -> bool:
        """Return whether there are more than are shown."""
        return self.count > len(self.jobs)

    @property
    def undrawn(self) -> int:
        """Return how many of them have no box in the graph."""
        return self.count - min(len(self.jobs), DRAWN)

    @property
    def goes_on(self) -> bool:
        """Return whether one of those that are shown may still change by itself."""
        return any(job.node.status in UNFINISHED for job in self.jobs)


def read_relatives(job: Job, user: Any, *, whole: bool) -> list[Relatives]:
    """Return parents, children and what the job submitted.

    The keys of each are read in a statement, and counted in one more where they are many; the jobs in one for parents
    and children. Of what it submitted, which may be for another organization, only what the user may see.
    """
    links = JobDependency.primary.all()
    parents = _keys(links.filter(child_id=job.pk).order_by("child_id", "parent_id"), "parent_id", whole)
    children = _keys(links.filter(parent_id=job.pk).order_by("parent_id", "child_id"), "child_id", whole)
    # Not by a join: a planner without statistics may walk all jobs for the first few in their order.
    pks = [*parents.pks, *children.pks]
    rows = {row.node.pk: row for row in _rows(Job.primary.filter(pk__in=pks).order_by().values_list(*_COLUMNS))}
    return [
        _found("parents", _("Waits for"), parents, rows),
        _found("children", _("Others that wait for it"), children, rows),
        _submitted(job, user, whole),
    ]


class _Keys(NamedTuple):
    """The first keys of relatives, how many there are, and whether that is a bound."""

    pks: list[int]
    number: int
    is_counted_out: bool


def _keys(links: QuerySet[JobDependency], column: str, whole: bool) -> _Keys:
    limit = ALL_ROWS if whole else ROWS
    pks = list(links.values_list(column, flat=True)[: limit + 1])
    return _Keys(pks[:limit], *((len(pks), False) if len(pks) <= limit else capped_count(links)))


def _found(key: str, title: str, keys: _Keys, rows: dict[int, Relative]) -> Relatives:
    """Return relatives; one whose row is gone, of which a link is left for a moment, is not among them."""
    jobs = [rows[pk] for pk in keys.pks if pk in rows]
    count = keys.number - (len(keys.pks) - len(jobs))
    return Relatives(key=key, title=title, jobs=jobs, count=count, is_counted_out=keys.is_counted_out)


def _submitted(job: Job, user: Any, whole: bool) -> Relatives:
    rows = Job.primary.visible_to(user).filter(submitted_by_id=job.pk).order_by("submitted_by_id", "job_hash")
    found = sorted(rows.values_list(*_COLUMNS)[: LOOKED_AT + 1], reverse=True)
    shown = found[: LOOKED_AT if whole else ROWS]
    return Relatives(
        key="submitted",
        title=_("Submitted by its handler"),
        jobs=_rows(shown),
        count=min(len(found), LOOKED_AT),
        is_counted_out=len(found) > LOOKED_AT,
    )


def _rows(found: Iterable[tuple[int, str, str, dt.datetime]]) -> list[Relative]:
    return [
        Relative(
            pk=pk,
            name=format_job_id(pk, created_at.year),
            job_type=kind,
            badge=badge(status),
            node=Node(pk, kind, status, created_at),
        )
        for pk, kind, status, created_at in found
    ]


def draw_family(job: Job, parents: Relatives, children: Relatives, links: Links) -> SafeString | str:
    """Return the job between the first of its parents and of its children as a drawing; empty where it has none."""
    before, after = parents.jobs[:DRAWN], children.jobs[:DRAWN]
    if not before and not after:
        return ""
    own = Node(job.pk, job.job_type_id, job.status, job.created_at)
    nodes = {node.pk: node for node in (*(item.node for item in before), own, *(item.node for item in after))}
    lines = [(item.pk, job.pk) for item in before] + [(job.pk, item.pk) for item in after]

    def address_of(box: Box) -> str:
        return links.page("django_jobs_job_change", box.node.pk)

    return draw_graph(make_graph(nodes, lines), address_of, here=job.pk)
