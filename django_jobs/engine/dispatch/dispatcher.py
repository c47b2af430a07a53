"""From the backlog to the broker: fairly between organizations, and only as much as the window allows.

One dispatcher works at a time, held by a row lock. Jobs become Queued and are committed; only then are their tickets
pushed, because a ticket that is popped before the commit would match no row.

Which jobs go next is for :mod:`.round_robin` to say; how many, for :mod:`.window`.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable
from typing import Any, Final

from django.db import Error

from django_jobs.engine.actors import SYSTEM
from django_jobs.engine.dispatch import dispatch_lock, round_robin, window
from django_jobs.engine.dispatch.in_flight import count_in_flight
from django_jobs.engine.dispatch.time_budget import TimeBudget
from django_jobs.engine.ports import Look, Ticket, get_broker
from django_jobs.engine.store import database
from django_jobs.engine.store.chosen import store
from django_jobs.engine.store.lane_values import Candidate
from django_jobs.engine.transitions import NOW, After, Move, Moved, move
from django_jobs.exceptions import BrokerUnavailable
from django_jobs.models import EngineLease, Job
from django_jobs.statuses import DISPATCHABLE, Priority, Status

logger = logging.getLogger("django_jobs")

#: What the broker may cost a caller who submits. A call that has begun may still take its whole timeout.
BUDGET_SECONDS: Final = 0.3
_QUEUED: Final[dict[str, Any]] = {"queued_at": NOW, "ready_at": None, "next_retry_at": None}
BY_URGENCY: Final = tuple(sorted(Priority, reverse=True))


def wake(priority: int = Priority.CRITICAL) -> int:
    """Dispatch what may go if the broker has room for this priority or a lower one; return how many jobs went.

    For a caller who must not wait long: once the broker has taken BUDGET_SECONDS, the rest is left to the scheduler.
    Raises neither BrokerUnavailable nor a database error, since the scheduler tries again.
    """
    return _dispatch_if_room(priority, 1.0, TimeBudget(BUDGET_SECONDS))


def dispatch_without_budget(priority: int = Priority.CRITICAL) -> int:
    """Do what :func:`wake` does, however slow the broker is; return how many jobs went. For background processes."""
    return _dispatch_if_room(priority, 1.0, TimeBudget())


def dispatch_new(job: Job) -> int:
    """Queue a job that was just submitted, in one statement, if it takes nobody's turn; else dispatch as :func:`wake`.

    Return how many jobs went.
    """
    return _quietly(lambda: _dispatch_new(job))


def _dispatch_new(job: Job) -> int:
    broker, budget = get_broker(), TimeBudget(BUDGET_SECONDS)
    if window.was_just_full(broker, job.priority) or budget.is_spent():
        return 0
    seen: Look = budget.spend(broker.look)
    if budget.is_spent():
        return 0
    size = window.read_window()
    if size.room(job.priority, seen.depths) <= 0:
        window.note_full(broker, job.priority)
        return 0
    moved = _queue_without_turn(job, size.most_at_once)
    if not moved:
        return _dispatch(seen.rings, budget)
    push(moved)
    return len(moved)


def _queue_without_turn(job: Job, most_at_once: int) -> list[Moved]:
    """Queue a new job if the rule of fairness lets it go without a turn. Its type was just read."""
    condition = round_robin.takes_no_turn(job, most_at_once)
    if condition is None:
        return []
    moves = [Move(pk=job.pk, to_status=Status.QUEUED, values=_QUEUED)]
    # A row that somebody holds is left to the dispatcher: the condition would be out of date after the wait.
    return move(moves, sources=DISPATCHABLE, actor=SYSTEM, skip_locked=True, only_due=True, only_if=condition)


def refill(priority: int) -> int:
    """Dispatch for a worker that took tickets of this priority, once half of the window is free; return how many went.

    Waiting for half of it makes jobs go in sets, which cost less each.
    """
    return _dispatch_if_room(priority, 0.5, TimeBudget())


def refill_if_empty() -> int:
    """Dispatch if the broker holds no ticket of any priority; return how many jobs went."""
    return _dispatch_if_room(Priority.LOW, 0.0, TimeBudget())


def dispatch_or_raise() -> int:
    """Do what :func:`dispatch_without_budget` does, but raise BrokerUnavailable and errors of the database.

    For a burst, which must not take a broker that does not answer for one without work.
    """
    return _dispatch_if_room_or_raise(Priority.LOW, 1.0, TimeBudget())


def _dispatch_if_room(priority: int, share: float, budget: TimeBudget) -> int:
    return _quietly(lambda: _dispatch_if_room_or_raise(priority, share, budget))


def _dispatch_if_room_or_raise(priority: int, share: float, budget: TimeBudget) -> int:
    if budget.is_spent():
        return 0
    seen = budget.spend(get_broker().look)
    if budget.is_spent() or not _has_room(seen.depths, priority, share) or not store().waiting_priorities(BY_URGENCY):
        return 0
    return _dispatch(seen.rings, budget)


def _has_room(tickets: dict[int, int], priority: int, share: float) -> bool:
    """Return whether less than this share of the window is taken, for this priority or for a lower one.

    The lower ones count because other workers may serve them.
    """
    size = window.read_window()
    below = [int(other) for other in Priority if other <= priority]
    return any(size.taken(other, tickets) < max(1.0, share * size.sizes[other]) for other in below)


def _quietly(go: Callable[[], int]) -> int:
    try:
        return go()
    except BrokerUnavailable:
        return 0
    except Error as error:
        logger.warning("event=dispatch_failed error=%r", error)
        return 0


def dispatch() -> int:
    """Dispatch what may go, without looking for room first; return how many jobs went. Raises BrokerUnavailable."""
    return _dispatch(get_broker().look().rings, TimeBudget())


def _dispatch(rings: int, budget: TimeBudget) -> int:
    """Dispatch, and again for as long as the bell was rung meanwhile; return how many jobs went.

    One process works at a time. A process that finds another at work rings the bell and leaves. The worker reads the
    bell after it has released the lock, so it sees what was committed before the ring. Between that release and that
    reading the lock is free; hence the second try after the ring.
    """
    total = 0
    while True:
        moved = database.in_transaction(_dispatch_once)
        if moved is None:
            budget.spend(get_broker().ring)
            moved = database.in_transaction(_dispatch_once)
            if moved is None:
                return total
        if moved:
            budget.spend(functools.partial(push, moved))
            total += len(moved)
        if budget.is_spent():
            return total
        seen = budget.spend(get_broker().look).rings
        if seen == rings:
            return total
        rings = seen


def anything_queued() -> bool:
    """Dispatch, then return whether any job is Queued; for a burst that asks whether it is over.

    Raises BrokerUnavailable and errors of the database.
    """
    dispatch_or_raise()
    return Job.primary.filter(status=Status.QUEUED).exists()


def push(moved: Iterable[Moved], *, front: bool = False) -> None:
    """Give Queued jobs their tickets; if the broker cannot take them, put the jobs back to Pending."""
    items = list(moved)
    try:
        get_broker().push([_ticket(item) for item in items], front=front)
    except BrokerUnavailable as error:
        withdraw([item.pk for item in items], f"The broker could not take it: {error}")


def withdraw(pks: Iterable[int], message: str, delay: float = 0.0) -> list[Moved]:
    """Put Queued jobs back to Pending, to be dispatched ``delay`` seconds from now or later; return those that moved.

    Jobs whose rows are in use stay Queued: the scheduler misses their tickets and issues them again.
    """
    values = {"ready_at": After(delay), "queued_at": None}
    moves = [Move(pk=pk, to_status=Status.PENDING, message=message, values=values) for pk in sorted(pks)]
    return move(moves, sources=[Status.QUEUED], actor=SYSTEM, skip_locked=True)


def _ticket(item: Moved) -> Ticket:
    return Ticket(item.pk, item.year, item.attempt + 1, item.priority)


def _dispatch_once() -> list[Moved] | None:
    """Make one pass under the dispatcher's lock; return the jobs that moved, None if another one has the lock."""
    lease = dispatch_lock.take()
    has_lock = lease is not None
    if lease is None and dispatch_lock.is_stuck():
        lease = dispatch_lock.look()
    if lease is None:
        return None
    in_flight, size = count_in_flight(), window.read_window()
    moves: list[Move] = []
    cursors = dict(lease.state)
    for priority in store().waiting_priorities(BY_URGENCY):
        room = size.room(priority, in_flight.queued)
        if room > 0:
            moves += [_queue(item) for item in round_robin.pick(priority, room, in_flight, cursors)]
    order = {item.pk: turn for turn, item in enumerate(moves)}
    # Due still: what was picked may have been given a later moment since.
    moved = move(moves, sources=DISPATCHABLE, actor=SYSTEM, skip_locked=True, only_due=True)
    moved.sort(key=lambda item: order[item.pk])
    if has_lock and cursors != lease.state:
        EngineLease.primary.filter(pk=lease.pk).update(state=cursors)
    return moved


def _queue(item: Candidate) -> Move:
    return Move(pk=item.pk, to_status=Status.QUEUED, values=_QUEUED)
