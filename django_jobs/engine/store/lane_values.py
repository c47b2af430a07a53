"""What the walk over the backlog finds.

A lane is what one organization has waiting of one job type with one priority. The index that is kept for this has the
jobs of a lane beside each other, the longest ready first.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple


class Lane(NamedTuple):
    """Jobs of one organization and type that wait with one priority."""

    organization_pk: Any
    job_type: str


class LaneMark(NamedTuple):
    """A place in a lane: a job's moment, as the database writes it, and its primary key."""

    ready_at: str
    pk: int


#: Before every job of a lane.
LANE_BEGIN: Final = LaneMark("-infinity", 0)


class LaneStep(NamedTuple):
    """A lane of the walk, whether any of its jobs is due, and whether it lies behind the organization served last.

    Where the store tells places: ``first`` is that of the lane's first job, None in a lane that was named and has no
    job; behind ``mark`` there was no job that is older than some seconds.
    """

    lane: Lane
    is_due: bool
    is_behind: bool
    first: LaneMark | None = None
    mark: LaneMark | None = None


class LaneBound(NamedTuple):
    """How many lanes of one organization a walk looks at, beside those that have nothing due or one of these types."""

    most: int
    uncounted: tuple[str, ...] = ()

    def counts(self, step: LaneStep) -> bool:
        """Return whether a lane is one of those that are bounded."""
        return step.is_due and step.lane.job_type not in self.uncounted


class Walk(NamedTuple):
    """Which lanes to walk over, in their order, and where to begin: those of a priority, due or not.

    The first lane is the one behind ``last``; without it, with ``behind``, the first behind all lanes of the
    organization ``after``; else the first of all. What lies behind what is the database's to say, which sorts texts and
    UUIDs in its own way. After as many lanes as ``bound`` allows an organization, its others are hopped over.

    With ``delayed``, the lanes are those of jobs that wait for their moment; a store may tell the others as well.
    """

    priority: int
    after: Any = None
    last: Lane | None = None
    behind: bool = False
    bound: LaneBound | None = None
    delayed: bool = False


class Candidate(NamedTuple):
    """A job that waits in a lane. ``ready_since`` is a number, whose only use is to compare."""

    organization_pk: Any
    ready_since: float
    pk: int
