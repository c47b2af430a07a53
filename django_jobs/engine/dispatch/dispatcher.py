"""From the backlog to the broker: fairly between organizations, and only as much as the window allows.

One dispatcher works at a time, held by a row lock. Jobs become Queued and are committed; only then are their tickets
pushed, because a ticket that is popped before the commit would match no row.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

from django.db import Error

from django_jobs.engine.actors import SYSTEM
from django_jobs.engine.dispatch import backlog, dispatch_lock, round_robin
from django_jobs.engine.dispatch.load import read_load
from django_jobs.engine.dispatch.time_budget import Patience
from django_jobs.engine.dispatch.window import read_window
from django_jobs.engine.ports import Ticket, get_broker
from django_jobs.engine.store import database
from django_jobs.engine.transitions import NOW, After, Move, Moved, move
from django_jobs.exceptions import BrokerUnavailable
from django_jobs.models import EngineLease, Job
from django_jobs.statuses import DISPATCHABLE, Priority, Status

logger = logging.getLogger("django_jobs")

FULL_SECONDS = 0.004
#: What a broker may cost one who submits: a call that follows may still take its whole timeout.
PATIENCE_SECONDS = 0.3
_QUEUED: dict[str, Any] = {"queued_at": NOW, "ready_at": None, "next_retry_at": None}
BY_URGENCY = tuple(sorted(Priority, reverse=True))


def wake(priority: int = Priority.CRITICAL) -> int:
    """Dispatch what may go if the broker has room for this priority; how many went.

    Never raises: what fails now, the scheduler tries again. So it does with what a slow broker would take too long for.
    """
    return _dispatch_below(priority, 1.0, Patience(PATIENCE_SECONDS))


def tend(priority: int = Priority.CRITICAL) -> int:
    """:func:`wake` for those whom nobody waits for: however slow the broker is."""
    return _dispatch_below(priority, 1.0, Patience())


def submitted(job: Job) -> int:
    """Dispatch a job that was just submitted by the short way if nobody is before it, else :func:`wake`."""

    def go() -> int:
        broker, patience = get_broker(), Patience(PATIENCE_SECONDS)
        if _was_full(broker, job.priority) or patience.is_over():
            return 0
        seen = patience.spend(broker.look)
        if patience.is_over():
            return 0
        if read_window().room(job.priority, seen.depths) <= 0:
            _note_full(broker, job.priority)
            return 0
        moved = _queue_alone(job)
        if not moved:
            return _dispatch(seen.rings, patience)
        push(moved)
        return len(moved)

    return _quietly(go)


def _queue_alone(job: Job) -> list[Moved]:
    """Queue a new job unless others are before it. Its type was just read."""
    if job.job_type.is_paused:
        return []
    moves = [Move(pk=job.pk, to_status=Status.QUEUED, values=_QUEUED)]
    return move(moves, sources=DISPATCHABLE, actor=SYSTEM, only_due=True, only_if=backlog.alone(job))


_full: tuple[object, int, float] = (None, 0, 0.0)


def _was_full(broker: object, priority: int) -> bool:
    """Whether the broker had no room for this priority a moment ago. Then its tickets are still to be taken, and who
    takes the last one looks again later than that moment (:data:`FULL_SECONDS` is less than a refiller's pause).
    """
    return _full[0] is broker and priority == _full[1] and time.monotonic() < _full[2]


def _note_full(broker: object, priority: int) -> None:
    global _full  # noqa: PLW0603  (a process-wide note)
    _full = (broker, priority, time.monotonic() + FULL_SECONDS)


def refill(priority: int) -> int:
    """:func:`wake` for a worker that took tickets: only when half of the window is free, so that jobs go in sets."""
    return _dispatch_below(priority, 0.5, Patience())


def refill_if_dry() -> int:
    """:func:`refill` only when the broker holds nothing at all."""
    return _dispatch_below(Priority.LOW, 0.0, Patience())


def exhaust() -> int:
    """:func:`tend` for a burst, which must not take a broker that is away for one without work.

    Raises BrokerUnavailable.
    """
    return _go_below(Priority.LOW, 1.0, Patience())


def _dispatch_below(priority: int, share: float, patience: Patience) -> int:
    return _quietly(lambda: _go_below(priority, share, patience))


def _go_below(priority: int, share: float, patience: Patience) -> int:
    if patience.is_over():
        return 0
    seen = patience.spend(get_broker().look)
    if patience.is_over() or not _has_room(seen.depths, priority, share) or not backlog.waiting_priorities(BY_URGENCY):
        return 0
    return _dispatch(seen.rings, patience)


def _has_room(tickets: dict[int, int], priority: int, share: float) -> bool:
    """Whether less than this share of the window is taken, for this priority or for a lower one, which other workers
    may serve.
    """
    window = read_window()
    below = [int(other) for other in Priority if other <= priority]
    return any(window.taken(other, tickets) < max(1.0, share * window.sizes[other]) for other in below)


def _quietly(go: Callable[[], int]) -> int:
    try:
        return go()
    except BrokerUnavailable:
        return 0
    except Error as error:
        logger.warning("event=dispatch_failed error=%r", error)
        return 0


def dispatch() -> int:
    """Dispatch what may go; how many went. Raises BrokerUnavailable."""
    return _dispatch(get_broker().look().rings, Patience())


def _dispatch(rings: int, patience: Patience) -> int:
    """Dispatch, and again for as long as the bell was rung meanwhile.

    One works at a time. Who finds another at work rings and leaves: the bell is read after the lock's release, so
    what was committed before the ring is seen. Between that release and that reading the lock is free; hence the
    second try after the ring.
    """
    total = 0
    while True:
        moved = database.in_transaction(_dispatch_once)
        if moved is None:
            patience.spend(get_broker().ring)
            moved = database.in_transaction(_dispatch_once)
            if moved is None:
                return total
        if moved:
            patience.spend(functools.partial(push, moved))
            total += len(moved)
        if patience.is_over():
            return total
        seen = patience.spend(get_broker().look).rings
        if seen == rings:
            return total
        rings = seen


def anything_queued() -> bool:
    """Whether something has, or is about to get, a ticket; for a burst that wants to know whether it is over.

    Raises BrokerUnavailable.
    """
    exhaust()
    return Job.primary.filter(status=Status.QUEUED).exists()


def push(moved: Iterable[Moved], *, front: bool = False) -> None:
    """Give Queued jobs their tickets; where the broker cannot take them, they go back to Pending."""
    items = list(moved)
    try:
        get_broker().push([_ticket(item) for item in items], front=front)
    except BrokerUnavailable as error:
        withdraw([item.pk for item in items], f"The broker could not take it: {error}")


def withdraw(pks: Iterable[int], message: str, delay: float = 0.0) -> list[Moved]:
    """Queued jobs back to Pending, not to be dispatched before ``delay`` seconds from now.

    Those whose rows are in use stay Queued: the scheduler misses their tickets and issues them again.
    """
    values = {"ready_at": After(delay), "queued_at": None}
    moves = [Move(pk=pk, to_status=Status.PENDING, message=message, values=values) for pk in sorted(pks)]
    return move(moves, sources=[Status.QUEUED], actor=SYSTEM, skip_locked=True)


def _ticket(item: Moved) -> Ticket:
    return Ticket(item.pk, item.year, item.attempt + 1, item.priority)


def _dispatch_once() -> list[Moved] | None:
    """One pass under the dispatcher's lock; None when another dispatcher has it."""
    lease = dispatch_lock.take()
    alone = lease is not None
    if lease is None and dispatch_lock.is_stuck():
        lease = dispatch_lock.look()
    if lease is None:
        return None
    load, window = read_load(), read_window()
    moves: list[Move] = []
    cursors = dict(lease.state)
    for priority in backlog.waiting_priorities(BY_URGENCY):
        room = window.room(priority, load.queued)
        if room > 0:
            moves += [_queue(item) for item in round_robin.pick(priority, room, load, cursors)]
    order = {item.pk: turn for turn, item in enumerate(moves)}
    # Due still: what was picked may have been given a later moment since.
    moved = move(moves, sources=DISPATCHABLE, actor=SYSTEM, skip_locked=True, only_due=True)
    moved.sort(key=lambda item: order[item.pk])
    if alone and cursors != lease.state:
        EngineLease.primary.filter(pk=lease.pk).update(state=cursors)
    return moved


def _queue(item: backlog.Candidate) -> Move:
    return Move(pk=item.pk, to_status=Status.QUEUED, values=_QUEUED)
