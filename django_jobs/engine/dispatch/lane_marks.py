"""Where walks over the backlog may begin, beside a snapshot that is open for long.

While a snapshot is open, as a pg_dump holds one for as long as it takes, every job that waited and went leaves an entry
in the index of the lanes that nobody can remove. A walk passes all of those in front of a lane's first job. Where that
has become slow, the lanes from which most was taken get marks, and the next walks look at these lanes from their marks
on, and between them as ever. What one pass learns is kept in the row of the dispatchers' lock, for all of them.

A mark is a hint. Behind it lay no job when the lane was last looked at; but one may appear there later: its transaction
was open for longer than the store's margin, or the database's clock went back. So a whole walk, which looks at marked
lanes from their beginnings, is made as often as it takes a twentieth of the time: a walk of 100 ms every two seconds.
Until then such a job waits. Lanes without a mark, new ones above all, are found by every walk. Where whole walks are
fast again, the marks are forgotten. So they are for a while where walks from them are no faster than whole ones: these
may have been slow since the machine was busy, or the database may know too little of its tables to plan by marks.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from django_jobs.engine.dispatch import kept_state
from django_jobs.engine.dispatch.kept_state import LaneKey
from django_jobs.engine.dispatch.marked_walks import MarkedWalks
from django_jobs.engine.dispatch.rests import Rest
from django_jobs.engine.store.chosen import store
from django_jobs.engine.store.lane_values import LANE_BEGIN, Lane
from django_jobs.engine.transitions import Moved

#: A whole walk whose statements take longer than so many seconds each, and so many for each lane, is followed by walks
#: from marks.
SLOW_SECONDS: Final = 0.003
LANE_SECONDS: Final = 0.0002
#: So many of them in a row: any statement is slow now and then on a busy machine.
SLOW_WALKS: Final = 3
#: Walks from marks are no faster where they take more than this part of a whole one.
USELESS_PART: Final = 0.5
#: How many times as long as a whole walk took the next one has to wait.
REST_FACTOR: Final = 20
#: For how long that is at most, as long as a twentieth of the time becomes no tenth by it; and in any case.
BOUND_SECONDS: Final = 2.0
MAX_REST_SECONDS: Final = 30.0
#: How many lanes get marks: those from which most was taken.
MARKED_LANES: Final = 40
#: How many lanes a process notes from which it took jobs. One whose jobs all go without a pass writes nothing down.
NOTED_LANES: Final = 10_000
#: How often marks are written: beside a snapshot each version of the row stays, too, and readers walk past it.
SAVE_SECONDS: Final = 0.5
#: While walks are fast, what was taken is forgotten after so many seconds.
FORGET_SECONDS: Final = 60.0
NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})

#: How much this process took from each lane since it last wrote that down, and when that is forgotten.
_taken: Counter[LaneKey] = Counter()
_forgets_at: float = 0.0
#: How many whole walks of this process in a row were slow, while there were no marks.
_slow_walks: int = 0
#: How many walks of this process from marks in a row were no faster than whole ones.
_useless_walks: int = 0
#: Asking whether anything waits.
_asking: Final = Rest(SLOW_SECONDS)
#: Whether this process' next pass should walk from the beginnings, though that may not be due.
_wants_whole: bool = False
#: When this process first saw what the row has, by its own clock: which writing that is, and seconds.
_seen: tuple[float, float] = (0.0, 0.0)
#: The cursors of this process' last pass, and which writing of the row they follow.
_cursors: tuple[float, dict[str, Any]] = (0.0, {})


def anything_may_wait(priorities: Sequence[int]) -> bool:
    """Return whether any job may wait. Where asking is slow, a pass from the marks finds out for less."""
    return _asking.lasts() or bool(_asking.after(lambda: store().waiting_priorities(priorities)))


def forget() -> None:
    """Forget what this process noted, as one that has just started."""
    global _cursors, _seen, _slow_walks, _useless_walks, _wants_whole
    _cursors, _seen, _slow_walks, _useless_walks, _wants_whole = (0.0, {}), (0.0, 0.0), 0, 0, False
    _taken.clear()
    _asking.end()


def want_whole_walk() -> None:
    """Have this process' next pass look at marked lanes from their beginnings: jobs may have appeared behind marks."""
    global _wants_whole  # noqa: PLW0603
    _wants_whole = True


def note_taken(moved: Iterable[Moved]) -> None:
    """Note from which lanes this process took jobs. With too many of them it begins anew."""
    if len(_taken) >= NOTED_LANES:
        _taken.clear()
    _taken.update((item.priority, Lane(item.organization_id, item.job_type, item.lane_key)) for item in moved)


def read(state: Any) -> LaneMarks:
    """Return what a pass that begins now knows, from what was written by those before it."""
    global _seen, _wants_whole  # noqa: PLW0603  (process-wide notes)
    wants_whole, _wants_whole = _wants_whole, False
    state = kept_state.checked(state)
    cursors = {name: value for name, value in state.items() if name != kept_state.LANES and name not in kept_state.KEPT}
    found = LaneMarks(cursors=cursors, written=state)
    kept = state.get(kept_state.LANES)
    if kept:
        found.rests_until, found.saved_at = kept["rests_until"], kept["saved_at"]
        found.whole, found.useless_until = kept.get("whole", 0.0), kept.get("useless_until", 0.0)
        for key, mark, weight in kept_state.marks_of(kept):
            found.marks[key], found.weights[key] = mark, weight
        found.is_whole = wants_whole or not (found.marks and _is_near(found.rests_until))
        if _seen[0] != found.saved_at:
            _seen = found.saved_at, time.monotonic()
        if _cursors[0] == found.saved_at:
            found.cursors = dict(_cursors[1])
    return found


@dataclass(slots=True)
class LaneMarks(MarkedWalks):
    """What one pass of the dispatcher knows of the lanes; without marks it walks as if there were no such thing.

    ``cursors`` are the organizations that were served last. ``weights`` are how much was taken from the marked lanes.
    ``rests_until``, when a whole walk is due, ``saved_at``, when this was written, and ``useless_until``, for how long
    no marks are set, are seconds since the epoch. ``whole`` is how long a statement of the last whole walk took; 0 is
    unknown.
    """

    cursors: dict[str, Any] = field(default_factory=dict)
    written: Mapping[str, Any] = field(default_factory=dict)
    weights: Counter[LaneKey] = field(default_factory=Counter)
    rests_until: float = 0.0
    saved_at: float = 0.0
    useless_until: float = 0.0
    whole: float = 0.0

    def to_write(self, kept: Mapping[str, Any] = NOTHING) -> dict[str, Any] | None:
        """Return the row's new state after the pass; None if it may stay as it is.

        ``kept`` is what other parts keep there. It is written whenever it changes.
        """
        global _cursors, _seen  # noqa: PLW0603  (process-wide notes)
        state = {**self.cursors, **{name: value for name, value in kept.items() if value}}
        now = time.time()
        was_fast = not store().marks_lanes or _is_near(self.useless_until) or self._was_fast()
        if not self.is_whole and self._is_useless():
            self.useless_until = now + MAX_REST_SECONDS / 2
            return {**state, kept_state.LANES: self._none()}
        if self.is_whole and was_fast and self.walked >= self._marked_types():
            _forget_taken()
            state |= {kept_state.LANES: self._none()} if _is_near(self.useless_until) else {}
            return state if state != self.written else None
        if self.is_whole and not was_fast:
            self.whole = self.seconds / self.asked
            bounded = max(BOUND_SECONDS, REST_FACTOR / 2 * self.seconds)
            self.rests_until = now + min(REST_FACTOR * self.seconds, bounded, MAX_REST_SECONDS)
        # By this process' own clock: by that of another machine, each pass might be due.
        is_due = (self.is_whole and not was_fast) or time.monotonic() - _seen[1] >= SAVE_SECONDS
        if is_due:
            self.saved_at = now
            _seen = now, time.monotonic()
        _cursors = self.saved_at, dict(self.cursors)
        if is_due:
            return {**state, kept_state.LANES: self._lanes()}
        is_changed = any(state.get(name) != self.written.get(name) for name in kept_state.KEPT)
        return (
            {**state, **{name: value for name, value in self.written.items() if name == kept_state.LANES}}
            if is_changed
            else None
        )

    def _was_fast(self) -> bool:
        """Return whether walks are fast; a whole one that was slow tells that only after others in a row."""
        global _slow_walks  # noqa: PLW0603  (a process-wide note)
        is_fast = self.seconds <= SLOW_SECONDS * self.asked + LANE_SECONDS * self.stepped
        if not self.is_whole or self.marks:
            return is_fast
        _slow_walks = 0 if is_fast else _slow_walks + 1
        return _slow_walks < SLOW_WALKS

    def _is_useless(self) -> bool:
        """Return whether walks from marks are no faster than whole ones; only after some in a row."""
        global _useless_walks  # noqa: PLW0603  (a process-wide note)
        if self.asked:
            is_faster = not self.whole or self.seconds / self.asked <= USELESS_PART * self.whole
            _useless_walks = 0 if is_faster else _useless_walks + 1
        return _useless_walks >= SLOW_WALKS

    def _none(self) -> dict[str, Any]:
        """Return what the row has in place of marks while they are useless."""
        return {"marks": [], "rests_until": 0.0, "saved_at": self.saved_at, "useless_until": self.useless_until}

    def _lanes(self) -> dict[str, Any]:
        """Return the marks of the lanes from which most was taken, as the row has them."""
        self.weights.update(dict(_taken))  # a copy, since another thread may add to it
        self.weights.update(dict.fromkeys(self.seen, 0))
        _taken.clear()
        marks = []
        for key, weight in self.weights.most_common(MARKED_LANES):
            priority, lane = key
            mark = self.seen.get(key) or self.marks.get(key) or LANE_BEGIN
            marks.append([priority, str(lane.organization_pk), lane.job_type, lane.key, *mark, weight])
        return {"marks": marks, "rests_until": self.rests_until, "saved_at": self.saved_at, "whole": self.whole}

    def _marked_types(self) -> set[tuple[int, str]]:
        return {(priority, lane.job_type) for priority, lane in self.marks}


def _is_near(moment: float) -> bool:
    """Return whether a moment is still to come, and was not written by a machine whose clock differs much."""
    return 0 < moment - time.time() < MAX_REST_SECONDS


def _forget_taken() -> None:
    """Forget from time to time what was taken while walks were fast."""
    global _forgets_at  # noqa: PLW0603
    if time.monotonic() >= _forgets_at:
        _forgets_at = time.monotonic() + FORGET_SECONDS
        _taken.clear()
