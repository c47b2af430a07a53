"""From the backlog to the broker: fairly between organizations, and only as much as the window allows.

One dispatcher works at a time, held by a row lock. Jobs become Queued and are committed; only then are their tickets
pushed, because a ticket that is popped before the commit would match no row.

Which jobs go next is for :mod:`.round_robin` to say; how many, for :mod:`.window`.
"""

from __future__ import annotations

import functools
import logging
import operator
import time
from collections.abc import Callable, Collection
from typing import Final

from django.db import Error
from django.db.models import Q

from django_jobs.engine.actors import SYSTEM
from django_jobs.engine.dispatch import (
    delays,
    dispatch_lock,
    first_turns,
    lane_marks,
    new_jobs,
    pools,
    short_way,
    ticketing,
    turns,
    window,
)
from django_jobs.engine.dispatch.short_way import BUDGET_SECONDS
from django_jobs.engine.dispatch.ticketing import Queued
from django_jobs.engine.dispatch.time_budget import TimeBudget
from django_jobs.engine.ports import Look, Queue, get_broker
from django_jobs.engine.store import database
from django_jobs.engine.store.chosen import store
from django_jobs.engine.store.transition_values import Condition
from django_jobs.engine.transitions import Move, Moved, move
from django_jobs.exceptions import BrokerUnavailable
from django_jobs.models import Job
from django_jobs.pools import of_pool, served_by
from django_jobs.statuses import DISPATCHABLE, Priority, Status

logger = logging.getLogger("django_jobs")

#: The seconds between tries while another dispatcher has the lock. A pass takes milliseconds; these, a second.
PAUSES: Final = (0.002, 0.004, 0.008, 0.016, 0.032, 0.064, *[0.128] * 7)
#: Where one may wait in line: the pauses of who submits, before it does so once; and how often others do.
PAUSES_BEFORE_LINE: Final = (0.002, 0.004)
TIMES_IN_LINE: Final = 4


def wake(priority: int = Priority.CRITICAL) -> int:
    """Dispatch what may go if the broker has room for this priority or a lower one; return how many jobs went.

    For a caller who must not wait long: once the broker has taken BUDGET_SECONDS, the rest is left to the scheduler.
    Raises neither BrokerUnavailable nor a database error, since the scheduler tries again.
    """
    return _dispatch_if_room(priority, 1.0, TimeBudget(BUDGET_SECONDS))


def dispatch_without_budget(priority: int = Priority.CRITICAL) -> int:
    """Bring in what is due by now, and do what :func:`wake` does, however slow the broker is. For background processes.

    Return how many jobs went.
    """
    _quietly(delays.bring_due)
    return _dispatch_if_room(priority, 1.0, TimeBudget())


def dispatch_new(job: Job) -> int:
    """Queue a job that was just submitted, in one statement, if it takes nobody's turn; else dispatch as :func:`wake`.

    Return how many jobs went.
    """
    return _quietly(lambda: _dispatch_new(job))


def _dispatch_new(job: Job) -> int | None:
    broker, budget, queue = get_broker(), TimeBudget(BUDGET_SECONDS), _queue_of(job)
    if window.was_just_full(broker, queue) or budget.is_spent():
        return 0
    seen: Look = budget.spend(broker.look)
    if budget.is_spent():
        return 0
    size = window.read_window()
    has_room, may_go_first = size.room(queue, seen.depths) > 0, first_turns.may_go_first(job, queue, seen, size)
    if not (has_room or may_go_first):
        window.note_full(broker, queue)
        return 0
    most = size.most_at_once
    if may_go_first:
        if moved := _queue_without_turn(job, new_jobs.goes_first(job, most)):
            ticketing.push(moved, front=True)
            return len(moved)
        first_turns.note_turn(job)
    if not has_room:
        return 0
    if moved := _queue_without_turn(job, new_jobs.takes_no_turn(job, most)):
        ticketing.push(moved)
        return len(moved)
    return _dispatch(seen.rings, budget, lambda: _may_go(job, budget))


def _queue_of(job: Job) -> Queue:
    """Return the queue for a new job, whose type was just read."""
    return Queue(job.job_type.pool, job.priority)


def _may_go(job: Job, budget: TimeBudget) -> bool:
    """Return whether a new job waits for dispatch still, and the broker has room for it."""
    waits = Job.primary.filter(pk=job.pk, ready_at__isnull=False).exists()
    return waits and window.read_window().room(_queue_of(job), budget.spend(get_broker().look).depths) > 0


def _queue_without_turn(job: Job, condition: Condition | None) -> list[Moved]:
    """Queue a new job if the rule of fairness lets it go without a turn. Its type was just read."""
    # Beside a snapshot its conditions visit ever more dead entries; the dispatcher has marks.
    if condition is None or short_way.REST.lasts():
        return []
    moves = [Move(pk=job.pk, to_status=Status.QUEUED, values=turns.QUEUED)]
    # A row that somebody holds is left to the dispatcher: the condition would be out of date after the wait.
    moved = short_way.REST.after(
        lambda: move(moves, sources=DISPATCHABLE, actor=SYSTEM, skip_locked=True, only_due=True, only_if=condition)
    )
    lane_marks.note_taken(moved)
    return moved


def refill(priority: int, in_pools: Collection[str] = ()) -> int:
    """Dispatch for a worker that took tickets of this priority, once half of the window is free; return how many went.

    Waiting for half of it makes jobs go in sets, which cost less each. Only room of these pools counts, where any is
    named: of the others the window may be empty for ever.
    """
    return _dispatch_if_room(priority, 0.5, TimeBudget(), in_pools)


def refill_if_empty(priority: int, in_pools: Collection[str] = ()) -> int:
    """Dispatch if the broker holds no ticket that takes up room of this priority, or of a lower one.

    Return how many jobs went.
    """
    return _dispatch_if_room(priority, 0.0, TimeBudget(), in_pools)


def anything_queued(queues: Collection[str] = ()) -> bool:
    """Dispatch, also what is due by now, and return whether any job is Queued; for a burst that asks if it is over.

    Only jobs whose tickets go to these ``queues`` count, without any to those of the default pool. Also return True if
    another process dispatches at this moment. Raises BrokerUnavailable and errors of the database, since a broker that
    does not answer is not one without work.
    """
    delays.bring_due()
    if _dispatch_if_room_or_raise(Priority.LOW, 1.0, TimeBudget()) is None:
        return True
    rows = Job.primary.filter(status=Status.QUEUED)
    if queues or pools.are_several():
        served = served_by(queues)
        of_each = [
            Q(job_type__pool=pool, priority__in=[queue.priority for queue in of_pool(served, pool)])
            for pool in {queue.pool for queue in served}
        ]
        rows = rows.filter(functools.reduce(operator.or_, of_each, Q(pk__in=[])))
    return rows.exists()


def _dispatch_if_room(priority: int, share: float, budget: TimeBudget, in_pools: Collection[str] = ()) -> int:
    return _quietly(lambda: _dispatch_if_room_or_raise(priority, share, budget, in_pools))


def _dispatch_if_room_or_raise(
    priority: int, share: float, budget: TimeBudget, in_pools: Collection[str] = ()
) -> int | None:
    if budget.is_spent():
        return 0
    seen = budget.spend(get_broker().look)
    has_room = functools.partial(window.read_window().has_room, priority, share, in_pools=in_pools)
    if budget.is_spent() or not has_room(seen.depths) or not lane_marks.anything_may_wait(turns.BY_URGENCY):
        return 0
    return _dispatch(seen.rings, budget, lambda: has_room(budget.spend(get_broker().look).depths))


def _quietly(go: Callable[[], int | None]) -> int:
    try:
        return go() or 0
    except BrokerUnavailable:
        return 0
    except Error as error:
        logger.warning("event=dispatch_failed error=%r", error)
        return 0


def dispatch() -> int:
    """Bring in what is due by now, and dispatch what may go, without looking for room; return how many jobs went.

    Raises BrokerUnavailable.
    """
    delays.bring_due()
    return _dispatch(get_broker().look().rings, TimeBudget(), lambda: True) or 0


def _dispatch(rings: int, budget: TimeBudget, is_needed: Callable[[], bool]) -> int | None:
    """Dispatch, in the background for as long as the bell was rung meanwhile; how many jobs went, None if another did.

    A caller with a budget makes one pass, and works for nobody who rings meanwhile. These look again by themselves.
    """
    total, moved = None, _pass(budget, is_needed)
    while moved is not None:
        total = (total or 0) + len(moved.moved)
        if budget.is_limited:
            return total
        seen = budget.spend(get_broker().look)
        if seen.rings == rings or not _anything_may_go(seen):
            return total
        rings = seen.rings
        # Whoever has the lock now looks at the bell after its pass.
        moved = _pass_at_once(budget)
    return total


def _anything_may_go(seen: Look) -> bool:
    """Return whether a job may wait for which the broker has room. Who rang may want another one than this process."""
    size = window.read_window()
    with_room = {queue.priority for queue in size.sizes if size.room(queue, seen.depths) > 0}
    priorities = [item for item in turns.BY_URGENCY if item in with_room]
    return bool(priorities) and lane_marks.anything_may_wait(priorities)


def _pass(budget: TimeBudget, is_needed: Callable[[], bool]) -> Queued | None:
    """Make one pass and push its tickets; return None if another process had the lock for too long, or did the work.

    One process works at a time. Whoever finds another at work tries again for a short while, and leaves as soon as a
    pass is no longer needed: each that began after the caller's commit does its work. One with a budget, who may have
    to give up, rings before; who is in the background hears that after its pass. Did these ring, too, they would go on
    for each other for as long as a backlog lasts.
    """
    moved = database.in_transaction(turns.fill_window)
    if moved is None and budget.is_limited:
        budget.spend(get_broker().ring)
    for pause, seconds in _tries(budget) if moved is None else ():
        time.sleep(pause)
        if budget.is_spent() or not is_needed():
            return None
        moved = database.in_transaction(functools.partial(turns.fill_window, seconds))
        if moved is not None:
            break
    if moved is not None:
        budget.spend(functools.partial(ticketing.push_queued, moved))
    return moved


def _pass_at_once(budget: TimeBudget) -> Queued | None:
    """Make one pass and push its tickets; return None if another process has the lock."""
    moved = database.in_transaction(turns.fill_window)
    if moved is not None:
        budget.spend(functools.partial(ticketing.push_queued, moved))
    return moved


def _tries(budget: TimeBudget) -> list[tuple[float, float]]:
    """Return for each further try how long to pause before it, and how long to wait in line for the lock, in seconds.

    Those who take shares of the backlog wait in line, and would leave nothing to who only looks. Who submits looks at
    first, since mostly another's pass does its work.
    """
    if not store().waits_in_line:
        return [(pause, 0.0) for pause in PAUSES]
    in_line = (0.0, dispatch_lock.WAIT_SECONDS)
    return (
        [*((pause, 0.0) for pause in PAUSES_BEFORE_LINE), in_line] if budget.is_limited else [in_line] * TIMES_IN_LINE
    )
