"""Walking the waiting jobs lane by lane, so that the cost follows what is taken and not what waits.

Lanes are hopped over by the store, page by page, starting behind the organization that was served last. Of each
organization only a few lanes are looked at in one walk, so that one with many types neither fills a page nor costs the
others their turns. Which ones these are is drawn anew for each walk, so that its types do not starve each other.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Final

from django_jobs.engine.dispatch.lane_marks import LaneMarks
from django_jobs.engine.store.lane_values import Lane, LaneBound, LaneStep, Walk
from django_jobs.models import JobType

LANES_AT_ONCE = 50
#: How many lanes of one organization a walk looks at.
LANES_PER_ORGANIZATION: Final = 8


def lanes(
    priority: int, after: Any, closed_types: Sequence[str] = (), marks: LaneMarks | None = None
) -> Iterator[Lane]:
    """Yield lanes of a priority with a due job, each once: those behind the organization ``after`` first.

    Lanes of closed types are left out. Of an organization with more than LANES_PER_ORGANIZATION others it yields about
    that many.
    """
    bound, marks = LaneBound(LANES_PER_ORGANIZATION, tuple(closed_types)), marks or LaneMarks()
    walk = Walk(priority, after, bound=bound)
    steps = (step for step in _steps(marks, walk) if bound.counts(step))
    first_type = functools.cache(_draw_type)
    for organization_pk, own in itertools.groupby(steps, lambda step: step.lane.organization_pk):
        found = [step.lane for step in own]
        if len(found) >= bound.most:
            found = _beginning_at(marks, walk, Lane(organization_pk, first_type()), found, bound)
        yield from found


def _draw_type() -> str:
    return JobType.primary.order_by("?").values_list("pk", flat=True).first() or ""


def _beginning_at(marks: LaneMarks, walk: Walk, start: Lane, found: list[Lane], bound: LaneBound) -> list[Lane]:
    """Return the lanes of an organization behind ``start``, filled up with those ``found`` at its beginning."""
    steps = marks.lanes(walk._replace(after=None, last=start), LANES_AT_ONCE)
    behind = [step.lane for step in steps if step.lane.organization_pk == start.organization_pk and bound.counts(step)]
    return list(dict.fromkeys([*behind, *found]))[: bound.most]


def _steps(marks: LaneMarks, walk: Walk) -> Iterator[LaneStep]:
    """Yield the steps of the whole walk: from behind the organization ``after`` to the end, and then from the start."""
    found = marks.lanes(walk, LANES_AT_ONCE)
    if walk.after is None or len(found) < LANES_AT_ONCE:
        yield from (step for step in found if step.is_behind)
        yield from (step for step in found if not step.is_behind)
        if len(found) == LANES_AT_ONCE:
            yield from _steps_of(marks, walk._replace(last=found[-1].lane))
        return
    yield from _steps_of(marks, walk._replace(behind=True))
    yield from _steps_of(marks, walk)


def _steps_of(marks: LaneMarks, walk: Walk) -> Iterator[LaneStep]:
    """Yield the steps of a walk page by page: to its end, or if it began before ``after``, to what lies behind that."""
    while True:
        found = marks.lanes(walk, LANES_AT_ONCE)
        for step in found:
            if step.is_behind and not walk.behind:
                return
            yield step
        if len(found) < LANES_AT_ONCE:
            return
        walk = walk._replace(last=found[-1].lane)
