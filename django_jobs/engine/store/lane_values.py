"""What the walk over the backlog finds.

A lane is what one organization has waiting of one job type with one priority; of a type with a concurrency key, what it
has waiting for one of its values. The index that is kept for this has the lanes of a type beside each other, and the
jobs of a lane, the longest ready first.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple


class Lane(NamedTuple):
    """Jobs of one organization, type and key that wait with one priority. Without a concurrency key it is 0."""

    organization_pk: Any
    job_type: str
    key: int = 0


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


#: In place of a type's name, which is never empty.
ALL_TYPES: Final = ""


class LaneBound(NamedTuple):
    """How many lanes of one organization and type a walk looks at, beside those that have nothing due.

    Lanes that are ``full`` are told, but count nowhere. Where an organization may start no more of a type, or with the
    type ALL_TYPES of any, it is ``passed``: only its first lane of the type is told, and that does not count either.
    """

    most: int
    full: frozenset[Lane] = frozenset()
    passed: frozenset[tuple[Any, str]] = frozenset()

    def is_passed(self, lane: Lane) -> bool:
        """Return whether the other lanes of the organization and type are hopped over."""
        return (lane.organization_pk, lane.job_type) in self.passed or (lane.organization_pk, ALL_TYPES) in self.passed

    def is_open(self, lane: Lane) -> bool:
        """Return whether a lane counts for the size of a page."""
        return lane not in self.full and not self.is_passed(lane)


#: For a walk that hops over nothing.
UNBOUNDED: Final = LaneBound(2**31)


class Walk(NamedTuple):
    """Which lanes to walk over, and where to begin: those of a priority and of these types, due or not.

    Each type is walked on its own, by organization and key. It begins behind the lane ``last``, which is for walks of
    one type; without it behind the organization ``behind``; without both at its first lane. Each lane tells whether it
    lies behind the organization ``after``. What lies behind what is the database's to say, which sorts texts and UUIDs
    in its own way. After as many lanes as ``bound`` allows an organization, its others are hopped over.

    With ``delayed``, the lanes are those of jobs that wait for their moment; a store may tell the others as well.
    """

    priority: int
    job_types: tuple[str, ...]
    after: Any = None
    last: Lane | None = None
    behind: Any = None
    bound: LaneBound = UNBOUNDED
    delayed: bool = False


class Candidate(NamedTuple):
    """A job that waits in a lane, after so many attempts. ``ready_since`` is a number, whose only use is to compare."""

    lane: Lane
    ready_since: float
    pk: int
    attempt: int = 0

    @property
    def organization_pk(self) -> Any:
        """The key of the job's organization."""
        return self.lane.organization_pk
