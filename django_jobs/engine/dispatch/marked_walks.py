"""Walking over the backlog from the marks of lanes on, which :mod:`.lane_marks` sets."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from django_jobs.engine.dispatch.kept_state import LaneKey
from django_jobs.engine.store.chosen import store
from django_jobs.engine.store.lane_values import LANE_BEGIN, Candidate, Lane, LaneMark, LaneStep, Walk

T = TypeVar("T")


@dataclass(slots=True)
class MarkedWalks:
    """The walks of one pass of the dispatcher, and what they saw; without marks they are those of the store."""

    #: Where to look at these lanes from.
    marks: dict[LaneKey, LaneMark] = field(default_factory=dict)
    #: Whether this pass looks at every lane from its beginning; how long it walked, in how many statements
    #: and over how many lanes, and which types; what it saw.
    is_whole: bool = True
    seconds: float = 0.0
    asked: int = 0
    stepped: int = 0
    walked: set[tuple[int, str]] = field(default_factory=set)
    starts: dict[LaneKey, LaneMark] = field(default_factory=dict)
    seen: dict[LaneKey, LaneMark] = field(default_factory=dict)

    def waiting_types(self, priorities: Sequence[int]) -> list[tuple[int, str]]:
        """Return the priorities and types that may have lanes. Those with marks are not asked for, only told."""
        marked = {(priority, lane.job_type) for priority, lane in self.marks if priority in priorities}
        found = self._timed(lambda: store().waiting_types(priorities, marked=marked))
        return [*marked, *(kind for kind in found if kind not in marked)]

    def lanes(self, walk: Walk, count: int) -> list[LaneStep]:
        """Walk as the store does, from the marks on."""
        priority = walk.priority
        marks = {
            lane: LANE_BEGIN if self.is_whole else mark for (of, lane), mark in self.marks.items() if of == priority
        }
        self.walked |= {(priority, job_type) for job_type in walk.job_types}
        steps = self._timed(lambda: store().lanes(walk, count, marks))
        self.stepped += len(steps)
        self.starts |= {(priority, step.lane): step.first for step in steps if step.first}
        self.seen |= {(priority, step.lane): step.mark for step in steps if step.mark}
        return steps

    def firsts(self, priority: int, lanes: Sequence[Lane]) -> list[Candidate] | None:
        """Return the first jobs of lanes as this pass saw them, after an unknown number of attempts.

        Return None where the store told no places.
        """
        starts = [self.starts.get((priority, lane)) for lane in lanes]
        return (
            [
                Candidate(lane, dt.datetime.fromisoformat(start.ready_at).timestamp(), start.pk)
                for lane, start in zip(lanes, starts, strict=True)
                if start is not None
            ]
            if all(starts)
            else None
        )

    def heads(self, priority: int, taken: Sequence[tuple[Lane, int]]) -> list[Candidate]:
        """Return the longest-ready jobs of lanes, from the first jobs on that this pass saw there."""
        starts = {lane: self.starts[priority, lane] for lane, _ in taken if (priority, lane) in self.starts}
        return store().heads(priority, taken, starts=starts)

    def _timed(self, ask: Callable[[], T]) -> T:
        began = time.monotonic()
        found = ask()
        self.seconds += time.monotonic() - began
        self.asked += 1
        return found
