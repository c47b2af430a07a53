"""What the walk over the backlog finds.

A lane is what one organization has waiting of one job type with one priority. The index that is kept for this has the
jobs of a lane beside each other, the longest ready first.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Lane(NamedTuple):
    """Jobs of one organization and type that wait with one priority."""

    organization_pk: Any
    job_type: str


class LaneStep(NamedTuple):
    """A lane of the walk, whether any of its jobs is due, and whether it lies behind the organization served last."""

    lane: Lane
    is_due: bool
    is_behind: bool


class Candidate(NamedTuple):
    """A job that waits in a lane. ``ready_since`` is a number, whose only use is to compare."""

    organization_pk: Any
    ready_since: float
    pk: int
