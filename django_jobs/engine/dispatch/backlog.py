"""The waiting jobs: walked lane by lane, brought in when their moment has come, ended when it is over."""

from __future__ import annotations

import datetime as dt
import functools
import itertools
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from django_jobs.engine import timing
from django_jobs.engine.actors import SCHEDULER, SYSTEM
from django_jobs.engine.deadlines import add_up
from django_jobs.engine.dispatch import in_flight
from django_jobs.engine.memory import REST_FACTOR, Rest, forgets
from django_jobs.engine.store import database
from django_jobs.engine.store.database import store
from django_jobs.engine.store.values import (
    LANE_BEGIN,
    NOW,
    Candidate,
    Lane,
    LaneBound,
    LaneMark,
    LaneStep,
    Move,
    Moved,
    Terms,
    Walk,
)
from django_jobs.engine.transitions import move
from django_jobs.models import Job, get_organization_model
from django_jobs.statuses import WAITING, Status
from django_jobs.texts import say

T = TypeVar("T")
LaneKey: TypeAlias = tuple[int, Lane]

# Where walks over the backlog may begin, beside a snapshot that is open for long.
#
# While a snapshot is open, as a pg_dump holds one for as long as it takes, every job that waited and went leaves an
# entry in the index of the lanes that nobody can remove. A walk passes all of those in front of a lane's first job.
# Where that has become slow, the lanes from which most was taken get marks, and the next walks look at these lanes from
# their marks on, and between them as ever. What one pass learns is kept in the row of the dispatchers' lock, for all of
# them.
#
# A mark is a hint. Behind it lay no job when the lane was last looked at; but one may appear there later: its
# transaction was open for longer than the store's margin, or the database's clock went back. So a whole walk, which
# looks at marked lanes from their beginnings, is made as often as it takes a twentieth of the time: a walk of 100 ms
# every two seconds. Until then such a job waits. Lanes without a mark, new ones above all, are found by every walk.
# Where whole walks are fast again, the marks are forgotten. So they are for a while where walks from them are no faster
# than whole ones: these may have been slow since the machine was busy, or the database may know too little of its
# tables to plan by marks.


#: So many of them in a row: any statement is slow now and then on a busy machine.
SLOW_WALKS: Final = 3
#: Walks from marks are no faster where they take more than this part of a whole one.
USELESS_PART: Final = 0.5
#: How many lanes get marks: those from which most was taken.
MARKED_LANES: Final = 40
#: How many lanes a process notes from which it took jobs. One whose jobs all go without a pass writes nothing down.
NOTED_LANES: Final = 10_000

#: How much this process took from each lane since it last wrote that down, and when that is forgotten.
_taken: Counter[LaneKey] = Counter()
_forgets_at: float = 0.0
#: How many whole walks of this process in a row were slow, while there were no marks.
_slow_walks: int = 0
#: How many walks of this process from marks in a row were no faster than whole ones.
_useless_walks: int = 0
#: Asking whether anything waits.
_asking: Final = Rest(timing.SLOW_WALK_SECONDS)
#: Whether this process' next pass should walk from the beginnings, though that may not be due.
_wants_whole: bool = False
#: When this process first saw what the row has, by its own clock: which writing that is, and seconds.
_seen: tuple[float, float] = (0.0, 0.0)
#: The cursors of this process' last pass, and which writing of the row they follow.
_cursors: tuple[float, dict[str, Any]] = (0.0, {})


def anything_may_wait(priorities: Sequence[int]) -> bool:
    """Return whether any job may wait. Where asking is slow, a pass from the marks finds out for less."""
    return _asking.lasts() or bool(_asking.after(lambda: store().waiting_priorities(priorities)))


@forgets
def forget_marks() -> None:
    """Forget what this process noted, as one that has just started."""
    global _cursors, _seen, _slow_walks, _useless_walks, _wants_whole
    _cursors, _seen, _slow_walks, _useless_walks, _wants_whole = (0.0, {}), (0.0, 0.0), 0, 0, False
    _taken.clear()


def want_whole_walk() -> None:
    """Have this process' next pass look at marked lanes from their beginnings: jobs may have appeared behind marks."""
    global _wants_whole  # noqa: PLW0603
    _wants_whole = True


def note_taken(moved: Iterable[Moved]) -> None:
    """Note from which lanes this process took jobs. With too many of them it begins anew."""
    if len(_taken) >= NOTED_LANES:
        _taken.clear()
    _taken.update((item.priority, Lane(item.organization_id, item.job_type, item.lane_key)) for item in moved)


def read_marks(state: Mapping[str, Any]) -> LaneMarks:
    """Return what a pass that begins now knows, from what was written by those before it."""
    global _seen, _wants_whole  # noqa: PLW0603  (process-wide notes)
    wants_whole, _wants_whole = _wants_whole, False
    found = LaneMarks(cursors=dict(state.get(in_flight.KEPT_CURSORS, {})), written=state)
    kept = state.get(in_flight.KEPT_LANES)
    if kept:
        found.rests_until, found.saved_at = kept["rests_until"], kept["saved_at"]
        found.whole, found.useless_until = kept.get("whole", 0.0), kept.get("useless_until", 0.0)
        for priority, pk, job_type, lane_key, ready_at, job_pk, weight in kept["marks"]:
            key = priority, Lane(get_organization_model()._meta.pk.to_python(pk), job_type, lane_key)
            found.marks[key], found.weights[key] = LaneMark(ready_at, job_pk), weight
        found.is_whole = wants_whole or not (found.marks and _is_near(found.rests_until))
        if _seen[0] != found.saved_at:
            _seen = found.saved_at, time.monotonic()
        if _cursors[0] == found.saved_at:
            found.cursors = dict(_cursors[1])
    return found


@dataclass(slots=True)
class LaneMarks:
    """What one pass of the dispatcher knows of the lanes; without marks it walks as if there were no such thing.

    ``marks`` say where to look at these lanes from, and ``weights`` how much was taken from them. ``cursors`` are the
    organizations that were served last. ``rests_until``, when a whole walk is due, ``saved_at``, when this was written,
    and ``useless_until``, for how long no marks are set, are seconds since the epoch. ``whole`` is how long a statement
    of the last whole walk took; 0 is unknown.
    """

    marks: dict[LaneKey, LaneMark] = field(default_factory=dict)
    cursors: dict[str, Any] = field(default_factory=dict)
    written: Mapping[str, Any] = field(default_factory=dict)
    weights: Counter[LaneKey] = field(default_factory=Counter)
    rests_until: float = 0.0
    saved_at: float = 0.0
    useless_until: float = 0.0
    whole: float = 0.0
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
        return [*marked, *(item for item in found if item not in marked)]

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

    def to_write(self, kept: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the row's new state after the pass; None if it may stay as it is.

        ``kept`` is what other parts keep there. It is written whenever it changes.
        """
        global _cursors, _seen  # noqa: PLW0603  (process-wide notes)
        state = {name: value for name, value in {in_flight.KEPT_CURSORS: self.cursors, **kept}.items() if value}
        now = time.time()
        was_fast = not store().marks_lanes or _is_near(self.useless_until) or self._note_speed()
        if not self.is_whole and self._note_use():
            self.useless_until = now + timing.LONGEST_REST_SECONDS / 2
            return {**state, in_flight.KEPT_LANES: self._none()}
        if self.is_whole and was_fast and self.walked >= {(priority, lane.job_type) for priority, lane in self.marks}:
            _forget_taken()
            state |= {in_flight.KEPT_LANES: self._none()} if _is_near(self.useless_until) else {}
            return state if state != self.written else None
        if self.is_whole and not was_fast:
            self.whole = self.seconds / self.asked
            bounded = max(timing.WALK_MARK_SECONDS, REST_FACTOR / 2 * self.seconds)
            self.rests_until = now + min(REST_FACTOR * self.seconds, bounded, timing.LONGEST_REST_SECONDS)
        # By this process' own clock: by that of another machine, each pass might be due.
        is_due = (self.is_whole and not was_fast) or time.monotonic() - _seen[1] >= timing.MARKS_SAVE_SECONDS
        if is_due:
            self.saved_at = now
            _seen = now, time.monotonic()
        _cursors = self.saved_at, dict(self.cursors)
        if is_due:
            return {**state, in_flight.KEPT_LANES: self._lanes()}
        is_changed = any(state.get(name) != self.written.get(name) for name in in_flight.KEPT)
        return {**state, in_flight.KEPT_LANES: self.written[in_flight.KEPT_LANES]} if is_changed else None

    def _note_speed(self) -> bool:
        """Note how fast this walk was; return whether walks are fast. A slow whole one counts after others in a row."""
        global _slow_walks  # noqa: PLW0603  (a process-wide note)
        is_fast = self.seconds <= timing.SLOW_WALK_SECONDS * self.asked + timing.SLOW_LANE_SECONDS * self.stepped
        if not self.is_whole or self.marks:
            return is_fast
        _slow_walks = 0 if is_fast else _slow_walks + 1
        return _slow_walks < SLOW_WALKS

    def _note_use(self) -> bool:
        """Note what the marks were worth; return whether walks from them, several in a row, were no faster."""
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


def _is_near(moment: float) -> bool:
    """Return whether a moment is still to come, and was not written by a machine whose clock differs much."""
    return 0 < moment - time.time() < timing.LONGEST_REST_SECONDS


def _forget_taken() -> None:
    """Forget from time to time what was taken while walks were fast."""
    global _forgets_at  # noqa: PLW0603
    if time.monotonic() >= _forgets_at:
        _forgets_at = time.monotonic() + timing.TAKEN_LANES_SECONDS
        _taken.clear()


# Walking the waiting jobs lane by lane, so that the cost follows what is taken and not what waits.
#
# Lanes are hopped over by the store, type by type and page by page, starting behind the organization that was served
# last. A type that may not start is not walked at all. Of each organization only a few lanes are looked at in one walk:
# one with many types or keys neither fills a page nor costs the others their turns. Which ones these are is drawn anew
# for each walk, so that they do not starve each other.


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


class LanePage(NamedTuple):
    """Open lanes of the walk with a due job, by organizations in their order, and whose others were seen beside them.

    ``is_all`` says that these are all lanes of the walk.
    """

    lanes: list[Lane]
    seen: set[Any]
    is_all: bool


def pages(walk: Walk, wanted: int, marks: LaneMarks | None = None) -> Iterator[LanePage]:
    """Yield the lanes of a walk, each once: those behind the organization ``after`` first.

    ``wanted`` is how many jobs are to be found.

    Lanes that are full are left out, and those of organizations that are passed. Of an organization with many lanes it
    yields some.
    """
    marks = marks or LaneMarks()
    job_types = walk.job_types
    if len(job_types) > TYPES_AT_ONCE:
        walk = walk._replace(job_types=tuple(random.sample(job_types, TYPES_AT_ONCE)))
    most = max(LANES_OF_TYPE, LANES_AT_ONCE // len(walk.job_types))
    count = min(max(LANES_OF_TYPE, wanted), MOST_LANES_OF_TYPE, most)
    # Of an organization that has as many lanes of a type as a page, some are drawn by lot.
    walk = walk._replace(bound=walk.bound._replace(most=min(walk.bound.most, count)))
    steps, following = _next_lanes(marks, walk, count)
    if following is None or walk.after is None:
        # In the order of the turns: behind the organization that was served last, and from the start.
        ordered = [step for step in steps if step.is_behind] + [step for step in steps if not step.is_behind]
        yield _page_of(marks, walk, ordered, is_all=following is None and len(job_types) == len(walk.job_types))
        yield from _pages(marks, following, count)
        return
    yield from _pages(marks, walk._replace(behind=walk.after), count)
    yield from _pages(marks, walk, count, until_behind=True)


def _pages(marks: LaneMarks, walk: Walk | None, count: int, *, until_behind: bool = False) -> Iterator[LanePage]:
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


def _page_of(marks: LaneMarks, walk: Walk, steps: Sequence[LaneStep], *, is_all: bool) -> LanePage:
    """Return the page of the lanes with something due; of an organization with many lanes it has some."""
    chosen: list[Lane] = []
    open_steps = [step for step in steps if step.is_due and walk.bound.is_open(step.lane)]
    for organization_pk, own in itertools.groupby(open_steps, lambda step: step.lane.organization_pk):
        lanes = [step.lane for step in own]
        by_type = {job_type: [*of] for job_type, of in itertools.groupby(lanes, lambda lane: lane.job_type)}
        job_types = list(by_type)
        if len(job_types) > TYPES_PER_ORGANIZATION:
            job_types = random.sample(job_types, TYPES_PER_ORGANIZATION)
        for job_type in job_types:
            if len(by_type[job_type]) >= walk.bound.most:
                by_type[job_type] = _from_some_key(marks, walk, organization_pk, by_type[job_type])
            chosen += by_type[job_type]
    return LanePage(chosen, {step.lane.organization_pk for step in steps if step.is_due}, is_all)


def _from_some_key(marks: LaneMarks, walk: Walk, organization_pk: Any, found: list[Lane]) -> list[Lane]:
    """Return lanes of one organization and type behind a key drawn by lot, filled up with those ``found`` before."""
    job_type = found[0].job_type
    start = Lane(organization_pk, job_type, random.randint(*_KEYS))  # noqa: S311
    steps = marks.lanes(walk._replace(job_types=(job_type,), last=start, behind=None), walk.bound.most)
    behind = [step.lane for step in steps if step.lane.organization_pk == organization_pk and step.is_due]
    open_lanes = [lane for lane in behind if walk.bound.is_open(lane)]
    return list(dict.fromkeys([*open_lanes, *found]))[: walk.bound.most]


def bound_of(full: frozenset[Lane], passed: frozenset[tuple[Any, str]]) -> LaneBound:
    """Return the bound of the dispatcher's walk."""
    return LaneBound(KEYS_PER_ORGANIZATION, full, passed)


# Bringing jobs whose moment has come into the lanes that dispatch walks.
#
# What waits for its moment is in no lane, so that it costs nobody who submits or dispatches.


DELAYED_AT_ONCE: Final = 1_000

#: When this process last brought all that was due.
_brought_at: float = -math.inf


def bring_due() -> int:
    """Bring what is due, the longest due first, and return how many jobs that was.

    Jobs whose rows others hold are left to the next call. What may come late has the next pass of this process look at
    every lane from its beginning.
    """
    global _brought_at  # noqa: PLW0603  (a process-wide note)
    began = time.monotonic()
    total = 0
    while True:
        due = store().due_jobs(DELAYED_AT_ONCE)
        found, brought = len(due), database.in_transaction(functools.partial(store().end_delays, due)) if due else 0
        total += brought
        if found < DELAYED_AT_ONCE or brought < found or time.monotonic() >= began + timing.DELAYED_JOBS_SECONDS:
            break
    if total and began - _brought_at > timing.LATE_DUE_SECONDS:
        want_whole_walk()
    if brought == found < DELAYED_AT_ONCE:
        _brought_at = began
    return total


# Ending jobs that did not start in time: none of their attempts begins after ``expires_at``.
#
# The claim refuses what has expired, exactly, by the database's clock. What nobody claims is found here by an index
# that holds only waiting jobs with such a moment, the earliest first, so that looking costs what is found.


EXPIRED_AT_ONCE: Final = 500
EXPIRED: Final = say("Expired", code="expired")


def expire_jobs() -> int:
    """End waiting jobs whose time is over, for EXPIRY_TICK_SECONDS at most; how many ended.

    Rows that somebody holds are left for the next call.
    """
    return add_up(timing.EXPIRY_TICK_SECONDS, iter(_one_batch, 0))


def _one_batch() -> int:
    found = store().overdue_jobs(EXPIRED_AT_ONCE)
    return database.in_transaction(lambda: _end(found)) if found else 0


def expiration_move(pk: int, attempt: int | None = None) -> Move:
    """Return the end of a job whose time is over."""
    values: dict[str, Any] = {"canceled_at": NOW, "canceled_by": SYSTEM.name, "ready_at": None, "next_retry_at": None}
    values |= {"error_message": EXPIRED, "error_type": "", "error_fingerprint": ""}
    return Move(pk=pk, to_status=Status.CANCELED, attempt=attempt, message=EXPIRED, values=values)


def _end(pks: list[int]) -> int:
    """Judged again under the lock: a retry by hand may have taken the moment away."""
    now = database.now()
    rows = Job.primary.filter(pk__in=pks).only("pk", "status", "expires_at")
    overdue = [
        job.pk
        for job in database.locked(rows, skip=True)
        if job.status in WAITING and job.expires_at is not None and job.expires_at <= now
    ]
    return len(move([expiration_move(pk) for pk in overdue], Terms(sources=WAITING, actor=SCHEDULER)))
