"""Whose turn it is: jobs of the backlog are picked and moved, by one process at a time.

The dispatcher fills the broker's window with them. A worker that comes back for more while a backlog waits takes its
share itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, TypeVar

from django_jobs.engine.actors import SYSTEM
from django_jobs.engine.dispatch import dispatch_lock, lane_marks, round_robin, window
from django_jobs.engine.dispatch.in_flight import InFlight, count_in_flight
from django_jobs.engine.dispatch.lane_marks import LaneMarks
from django_jobs.engine.store.lane_values import Candidate
from django_jobs.engine.transitions import NOW, Move, Moved, move
from django_jobs.models import EngineLease
from django_jobs.statuses import DISPATCHABLE, Priority, Status

T = TypeVar("T")

#: What a job gets that is queued, beside its status.
QUEUED: Final[dict[str, Any]] = {"queued_at": NOW, "ready_at": None, "next_retry_at": None}
BY_URGENCY: Final = tuple(sorted(map(int, Priority), reverse=True))


def fill_window() -> list[Moved] | None:
    """Queue as many jobs as the broker has room for; None if another process has the lock. In a transaction."""
    return _under_lock(_pick_for_window, queue)


def take_share(priorities: Collection[int], count: int, start: Callable[[Sequence[Candidate]], T]) -> T | None:
    """Have ``start`` move up to ``count`` jobs of these priorities, and return what it does. In a transaction.

    Return None if another process has the lock.
    """

    def pick(in_flight: InFlight, marks: LaneMarks) -> list[Candidate]:
        picked: list[Candidate] = []
        for priority in marks.waiting_priorities([item for item in BY_URGENCY if item in priorities]):
            if len(picked) < count:
                picked += round_robin.pick(priority, count - len(picked), in_flight, marks)
        return picked

    return _under_lock(pick, start)


def queue(picked: Sequence[Candidate]) -> list[Moved]:
    """Move these jobs to Queued; return those that moved, in the given order."""
    order = {item.pk: turn for turn, item in enumerate(picked)}
    moves = [Move(pk=item.pk, to_status=Status.QUEUED, values=QUEUED) for item in picked]
    # Due still: what was picked may have been given a later moment since.
    moved = move(moves, sources=DISPATCHABLE, actor=SYSTEM, skip_locked=True, only_due=True)
    moved.sort(key=lambda item: order[item.pk])
    lane_marks.note_taken(moved)
    return moved


def _pick_for_window(in_flight: InFlight, marks: LaneMarks) -> list[Candidate]:
    size = window.read_window()
    picked: list[Candidate] = []
    for priority in marks.waiting_priorities(BY_URGENCY):
        room = size.room(priority, in_flight.queued)
        if room > 0:
            picked += round_robin.pick(priority, room, in_flight, marks)
    return picked


def _under_lock(
    pick: Callable[[InFlight, LaneMarks], list[Candidate]], go: Callable[[Sequence[Candidate]], T]
) -> T | None:
    """Pick jobs and move them under the dispatcher's lock; None if another process has it."""
    lease = dispatch_lock.take()
    has_lock = lease is not None
    if lease is None and dispatch_lock.is_stuck():
        lease = dispatch_lock.look()
    if lease is None:
        return None
    in_flight, marks = count_in_flight(), lane_marks.read(lease.state)
    moved = go(pick(in_flight, marks))
    state = marks.to_write()
    if has_lock and state is not None:
        EngineLease.primary.filter(pk=lease.pk).update(state=state)
    return moved
