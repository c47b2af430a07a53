"""Walking the waiting jobs lane by lane, so that the cost follows what is taken and not what waits.

Lanes are hopped over by the store, type by type and page by page, starting behind the organization that was served
last. A type that may not start is not walked at all. Of each organization only a few lanes are looked at in one walk:
one with many types or keys neither fills a page nor costs the others their turns. Which ones these are is drawn anew
for each walk, so that they do not starve each other.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from django_jobs.engine.dispatch.lane_marks import LaneMarks
from django_jobs.engine.store.lane_values import Lane, LaneBound, LaneStep, Walk

#: A page has as many lanes of a type as jobs are wanted, so that it may serve them all; but not fewer than the first
#: number nor more than the second, and of all types together about as many as the third.
LANES_OF_TYPE: Final = 4
MOST_LANES_OF_TYPE: Final = 300
LANES_AT_ONCE = 800
#: How many types one walk looks at.
TYPES_AT_ONCE: Final = 100
#: How many types of one organization a walk looks at, and how many keys of one of them.
TYPES_PER_ORGANIZATION: Final = 8
KEYS_PER_ORGANIZATION: Final = 50
#: The keys of lanes.
_KEYS: Final = (-(2**63), 2**63 - 1)


class Page(NamedTuple):
    """Open lanes of the walk with a due job, by organizations in their order, and whose others were seen beside them.

    ``is_all`` says that these are all lanes of the walk.
    """

    lanes: list[Lane]
    seen: set[Any]
    is_all: bool


def pages(walk: Walk, wanted: int, marks: LaneMarks | None = None) -> Iterator[Page]:
    """Yield the lanes of a walk, each once: those behind the organization ``after`` first.

    ``wanted`` is how many jobs are to be found.

    Lanes that are full are left out, and those of organizations that are passed. Of an organization with many lanes it
    yields some.
    """
    marks = marks or LaneMarks()
    kinds = walk.job_types
    if len(kinds) > TYPES_AT_ONCE:
        walk = walk._replace(job_types=tuple(random.sample(kinds, TYPES_AT_ONCE)))
    most = max(LANES_OF_TYPE, LANES_AT_ONCE // len(walk.job_types))
    count = min(max(LANES_OF_TYPE, wanted), MOST_LANES_OF_TYPE, most)
    # Of an organization that has as many lanes of a type as a page, some are drawn by lot.
    walk = walk._replace(bound=walk.bound._replace(most=min(walk.bound.most, count)))
    steps, following = _next_lanes(marks, walk, count)
    if following is None or walk.after is None:
        # In the order of the turns: behind the organization that was served last, and from the start.
        ordered = [step for step in steps if step.is_behind] + [step for step in steps if not step.is_behind]
        yield _page_of(marks, walk, ordered, is_all=following is None and len(kinds) == len(walk.job_types))
        yield from _pages(marks, following, count)
        return
    yield from _pages(marks, walk._replace(behind=walk.after), count)
    yield from _pages(marks, walk, count, until_behind=True)


def _pages(marks: LaneMarks, walk: Walk | None, count: int, *, until_behind: bool = False) -> Iterator[Page]:
    """Yield the pages of a walk: to its end, or if it began before ``after``, to what lies behind that."""
    while walk is not None:
        steps, following = _next_lanes(marks, walk, count)
        wanted = [*itertools.takewhile(lambda step: not step.is_behind, steps)] if until_behind else steps
        yield _page_of(marks, walk, wanted, is_all=False)
        walk = following if len(wanted) == len(steps) else None


def _next_lanes(marks: LaneMarks, walk: Walk, count: int) -> tuple[list[LaneStep], Walk | None]:
    """Return the next lanes of a walk, and the walk behind them; None where they are the last.

    Types of which there is more end the page: what other types have behind that is left to the next one.
    """
    steps = marks.lanes(walk, count)
    counted: Counter[str] = Counter()
    for place, step in enumerate(steps):
        counted[step.lane.job_type] += walk.bound.is_open(step.lane)
        if counted[step.lane.job_type] >= count:
            last = step.lane.organization_pk
            beside = [item for item in steps[place:] if item.lane.organization_pk == last]
            return steps[: place + len(beside)], walk._replace(behind=last)
    return steps, None


def _page_of(marks: LaneMarks, walk: Walk, steps: Sequence[LaneStep], *, is_all: bool) -> Page:
    return Page(_some(marks, walk, steps), {step.lane.organization_pk for step in steps if step.is_due}, is_all)


def _some(marks: LaneMarks, walk: Walk, steps: Sequence[LaneStep]) -> list[Lane]:
    """Return the lanes with something due, and of an organization with many lanes some."""
    chosen: list[Lane] = []
    open_steps = [step for step in steps if step.is_due and walk.bound.is_open(step.lane)]
    for organization_pk, own in itertools.groupby(open_steps, lambda step: step.lane.organization_pk):
        lanes = [step.lane for step in own]
        by_type = {kind: [*of] for kind, of in itertools.groupby(lanes, lambda lane: lane.job_type)}
        kinds = list(by_type)
        if len(kinds) > TYPES_PER_ORGANIZATION:
            kinds = random.sample(kinds, TYPES_PER_ORGANIZATION)
        for kind in kinds:
            if len(by_type[kind]) >= walk.bound.most:
                by_type[kind] = _from_some_key(marks, walk, organization_pk, by_type[kind])
            chosen += by_type[kind]
    return chosen


def _from_some_key(marks: LaneMarks, walk: Walk, organization_pk: Any, found: list[Lane]) -> list[Lane]:
    """Return lanes of one organization and type behind a key drawn by lot, filled up with those ``found`` before."""
    kind = found[0].job_type
    start = Lane(organization_pk, kind, random.randint(*_KEYS))  # noqa: S311
    steps = marks.lanes(walk._replace(job_types=(kind,), last=start, behind=None), walk.bound.most)
    behind = [step.lane for step in steps if step.lane.organization_pk == organization_pk and step.is_due]
    open_lanes = [lane for lane in behind if walk.bound.is_open(lane)]
    return list(dict.fromkeys([*open_lanes, *found]))[: walk.bound.most]


def bound_of(full: frozenset[Lane], passed: frozenset[tuple[Any, str]]) -> LaneBound:
    """Return the bound of the dispatcher's walk."""
    return LaneBound(KEYS_PER_ORGANIZATION, full, passed)
