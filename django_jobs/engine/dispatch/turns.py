"""Whose turn it is: jobs of the backlog are picked and moved, by one process at a time.

The dispatcher fills the broker's window with them. A worker that comes back for more while a backlog waits takes its
share itself.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, TypeVar

from django_jobs.engine.actors import SYSTEM
from django_jobs.engine.dispatch import dispatch_lock, held_jobs, lane_marks, new_jobs, round_robin, ticketing, window
from django_jobs.engine.dispatch.in_flight import count_in_flight
from django_jobs.engine.dispatch.limits import MANY
from django_jobs.engine.dispatch.pass_state import PassState
from django_jobs.engine.dispatch.ticketing import Queued
from django_jobs.engine.dispatch.window import Room
from django_jobs.engine.ports import Queue
from django_jobs.engine.store.lane_values import Candidate
from django_jobs.engine.transitions import NOW, Move, Moved, move
from django_jobs.models import EngineLease
from django_jobs.statuses import DISPATCHABLE, Priority, Status
from django_jobs.texts import say

T = TypeVar("T")

#: What a job gets that is queued, beside its status.
QUEUED: Final[dict[str, Any]] = {"queued_at": NOW, "ready_at": None, "next_retry_at": None}
#: Why a job that was queued waits again.
OTHER_KEY: Final = say("Its concurrency key changed while it was being queued", code="key_changed")
BY_URGENCY: Final = tuple(sorted(map(int, Priority), reverse=True))


def fill_window(seconds: float = 0.0) -> Queued | None:
    """Queue as many jobs as the broker has room for. In a transaction.

    Return None if other processes have the lock for so many seconds.
    """

    def work(state: PassState) -> Queued:
        picked, overfull = _pick_for_window(state)
        return Queued(_queue(picked, state), state.first, state.first_weights, overfull)

    return _under_lock(work, seconds)


def take_share(
    queues: Collection[Queue], count: int, start: Callable[[Sequence[Candidate]], tuple[T, Collection[int]]]
) -> tuple[T, list[Moved]] | None:
    """Have ``start`` move up to ``count`` jobs for these queues. In a transaction.

    ``start`` returns what the caller wants, and the keys of what it left. Of that as much is queued as the broker has
    room for, and the rest has the next turns. Return what ``start`` did, and what was queued; None if other processes
    have the lock for too long.
    """

    def work(state: PassState) -> tuple[T, list[Moved]]:
        state.leaves_rates = True
        size, queued = window.read_window(), {queue: Counter(of) for queue, of in state.in_flight.queued.items()}
        cursors = dict(state.marks.cursors)
        # No more than the dispatcher queues in a pass: new jobs keep that distance from their organization's limit.
        picked = _pick_share(queues, min(count, size.most_at_once), state)
        started, left = start([*itertools.chain.from_iterable(picked.values())])
        fitting: list[Candidate] = []
        for queue, items in picked.items():
            waiting = [item for item in items if item.pk in left]
            fit = _fitting(waiting, size.room(queue, {item.lane.job_type for item in waiting}, queued))
            queued.setdefault(queue, Counter()).update((item.organization_pk, item.lane.job_type) for item in fit)
            fitting += fit
            if fit != waiting:
                unserved = {item.pk for item in waiting[len(fit) :]}
                served = [item for item in items if item.pk not in unserved]
                round_robin.end_turns(queue, served, cursors, state.marks)
        return started, _queue(fitting, state)

    return _under_lock(work, dispatch_lock.WAIT_SECONDS)


def _fitting(items: Sequence[Candidate], room: Room) -> list[Candidate]:
    """Return the first of these for which there is room."""
    fit: list[Candidate] = []
    for item in items:
        if room.is_over():
            break
        room.take(item.lane.job_type)
        fit.append(item)
    return fit


def _pick_share(queues: Collection[Queue], count: int, state: PassState) -> dict[Queue, list[Candidate]]:
    """Return up to ``count`` jobs, by their queues, the most urgent first.

    None goes before a more urgent job that is queued: its ticket is pushed only after the commit that queued it.
    """
    queued = state.in_flight.queued
    least = max([queue.priority for queue, tickets in queued.items() if tickets and queue in queues], default=0)
    priorities = {queue.priority for queue in queues}
    picked: dict[Queue, list[Candidate]] = {}
    wanted = [item for item in BY_URGENCY if item in priorities and item >= least]
    for queue, job_types in state.waiting_types(wanted).items():
        # What has a rate or goes to try takes the usual way, where each is counted. So does what has so many places:
        # turns for them would be counted though the worker leaves some.
        limits = state.limits
        kinds = [name for name in job_types if limits.is_at_ease(name) and limits.left_of_type(name) >= MANY]
        if count > 0 and queue in queues:
            picked[queue] = round_robin.pick(queue, kinds, Room(count), state)
            count -= len(picked[queue])
    return picked


def _queue(picked: Sequence[Candidate], state: PassState) -> list[Moved]:
    """Move these jobs to Queued; return those that moved, in the given order."""
    order = {item.pk: turn for turn, item in enumerate(picked)}
    moves = [Move(pk=item.pk, to_status=Status.QUEUED, values=QUEUED) for item in picked]
    # Due still: what was picked may have been given a later moment since.
    moved = move(moves, sources=DISPATCHABLE, actor=SYSTEM, skip_locked=True, only_due=True)
    moved = _without_other_lanes(moved, {item.pk: item.lane.key for item in picked})
    moved.sort(key=lambda item: order[item.pk])
    lane_marks.note_taken(moved)
    state.settle(picked, order.keys() & {item.pk for item in moved})
    return moved


def _without_other_lanes(moved: Sequence[Moved], keys: Mapping[int, int]) -> list[Moved]:
    """Put jobs back to Pending that came into another lane after they were picked, and return the others.

    A later submission may have given a job another value of the concurrency key since. The pass counted the job for the
    key of before, and the other key may be full. Nobody sees it Queued, since this is the transaction that queued it.
    """
    strays = {item.pk for item in moved if item.lane_key != keys[item.pk]}
    if strays:
        ticketing.withdraw(strays, OTHER_KEY)
    return [item for item in moved if item.pk not in strays]


def _pick_for_window(state: PassState) -> tuple[list[Candidate], dict[Queue, int]]:
    """Return what goes to the broker, and the queues of which tickets are to be called back, if more than so many wait.

    Those hold more than was expected, and more than one organization has jobs for them. The next one must not wait for
    all that.
    """
    size, queued = window.read_window(), state.in_flight.queued
    overfull = [queue for queue, tickets in queued.items() if queue in size.sizes and size.is_overfull(queue, tickets)]
    waiting = state.waiting_types(BY_URGENCY)
    picked: list[Candidate] = []
    for queue, job_types in waiting.items():
        room = size.room(queue, job_types, queued)
        if not room.is_over():
            picked += round_robin.pick(queue, job_types, room, state, size)
    shared = [queue for queue in overfull if _is_shared(queue, waiting.get(queue, ()), state)]
    return picked, {queue: size.most_slow(queue) for queue in shared}


def _is_shared(queue: Queue, job_types: Collection[str], state: PassState) -> bool:
    """Return whether more than one organization has jobs that are queued or wait for a queue."""
    holders = {pk for pk, _ in state.in_flight.queued[queue]}
    return len(holders) > 1 or round_robin.others_wait(queue, job_types, state, holders)


def _under_lock(work: Callable[[PassState], T], seconds: float) -> T | None:
    """Pick jobs and move them under the dispatcher's lock; None if others have it for so many seconds."""
    lease = dispatch_lock.take(seconds)
    has_lock = lease is not None
    if lease is None and dispatch_lock.is_stuck():
        lease = dispatch_lock.look()
    if lease is None:
        return None
    unseen = new_jobs.unseen_at_once()  # before the count, which sees what is stored by then
    state = PassState(count_in_flight(has_lock=has_lock), lane_marks.read(lease.state), has_lock)
    state.in_flight.unseen = unseen
    held_jobs.leave_out(state.in_flight, state.marks.written)
    done = work(state)
    written = state.to_write()
    if has_lock and written is not None:
        EngineLease.primary.filter(pk=lease.pk).update(state=written)
    return done
