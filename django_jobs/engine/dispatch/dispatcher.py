"""From the backlog to the broker: fairly between organizations, and only as much as the window allows.

Here is for whom passes are made, and when; :mod:`.passes` makes them. Which jobs go next is for :mod:`.round_robin` to
say; how many, for :mod:`.window`.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import operator
from collections.abc import Callable, Collection, Iterator
from contextvars import ContextVar
from typing import Final

from django.db import Error
from django.db.models import Q

from django_jobs.engine.actors import SYSTEM
from django_jobs.engine.dispatch import (
    delays,
    first_turns,
    lane_marks,
    new_jobs,
    passes,
    pools,
    short_way,
    ticketing,
    turns,
    window,
)
from django_jobs.engine.dispatch.short_way import BUDGET_SECONDS
from django_jobs.engine.dispatch.time_budget import TimeBudget
from django_jobs.engine.ports import Look, Queue, get_broker
from django_jobs.engine.store.transition_values import Condition
from django_jobs.engine.transitions import Move, Moved, move
from django_jobs.exceptions import BrokerUnavailable
from django_jobs.models import Job
from django_jobs.pools import of_pool, served_by
from django_jobs.statuses import DISPATCHABLE, Priority, Status

logger = logging.getLogger("django_jobs")

_put_off: Final[ContextVar[list[bool] | None]] = ContextVar("django_jobs_put_off", default=None)


def wake(priority: int = Priority.CRITICAL) -> int:
    """Dispatch what may go if the broker has room for this priority or a lower one; return how many jobs went.

    For a caller who must not wait long: once the broker has taken BUDGET_SECONDS, the rest is left to the scheduler.
    Raises neither BrokerUnavailable nor a database error, since the scheduler tries again.
    """
    return 0 if _is_put_off() else _dispatch_if_room(priority, 1.0, TimeBudget(BUDGET_SECONDS))


@contextlib.contextmanager
def one_pass() -> Iterator[None]:
    """Dispatch what is submitted in the block at its end, in one pass for all that has to wait for its turn.

    A pass takes more statements than a submission. Workers and the scheduler dispatch meanwhile.
    """
    wanted: list[bool] = []
    token = _put_off.set(wanted)
    try:
        yield
    finally:
        _put_off.reset(token)
        if wanted:
            wake()


def _is_put_off() -> bool:
    """Return whether somebody dispatches later, and tell them to."""
    wanted = _put_off.get()
    if wanted is not None:
        wanted.append(True)
    return wanted is not None


def dispatch_without_budget(priority: int = Priority.CRITICAL) -> int:
    """Bring in what is due by now, and do what :func:`wake` does, however slow the broker is. For background processes.

    Tickets may be called back even if nothing waits. Return how many jobs went.
    """
    _quietly(delays.bring_due)
    return _quietly(lambda: _dispatch_if_room_or_raise(priority, 1.0, TimeBudget(), calls_back=True))


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
    taken, may_go_first = size.taken(queue, seen.depths), first_turns.may_go_first(job, queue, seen, size)
    has_room = taken < size.size(queue, job.job_type_id)
    may_change = has_room or not (size.is_settled(queue, seen.depths) or window.is_full_still(broker, queue, taken))
    if not (may_change or may_go_first):
        window.note_full(broker, queue)
        return 0
    most = size.most_at_once
    if may_go_first:
        if moved := _queue_without_turn(job, new_jobs.goes_first(job, most)):
            ticketing.push(moved, front=True)
            return len(moved)
        first_turns.note_turn(job)
    if has_room and (moved := _queue_without_turn(job, new_jobs.takes_no_turn(job, most))):
        ticketing.push(moved)
        return len(moved)
    if not may_change or _is_put_off():
        return 0
    count = passes.make(seen.rings, budget, lambda: _may_go(job, budget))
    if count == 0 and not has_room:
        window.note_full(broker, queue, taken)
    return count


def _queue_of(job: Job) -> Queue:
    """Return the queue for a new job, whose type was just read."""
    return Queue(job.job_type.pool, job.priority)


def _may_go(job: Job, budget: TimeBudget) -> bool:
    """Return whether a new job waits for dispatch still, and the broker has room for it."""
    waits = Job.primary.filter(pk=job.pk, ready_at__isnull=False).exists()
    return waits and not window.read_window().is_settled(_queue_of(job), budget.spend(get_broker().look).depths)


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
    priority: int, share: float, budget: TimeBudget, in_pools: Collection[str] = (), *, calls_back: bool = False
) -> int | None:
    if budget.is_spent():
        return 0
    seen, size = budget.spend(get_broker().look), window.read_window()
    has_room = functools.partial(size.has_room, priority, share, in_pools=in_pools)
    if budget.is_spent() or not has_room(seen.depths):
        return 0
    if not (lane_marks.anything_may_wait(turns.BY_URGENCY) or (calls_back and size.may_be_overfull(seen.depths))):
        return 0
    return passes.make(seen.rings, budget, lambda: has_room(budget.spend(get_broker().look).depths))


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
    return passes.make(get_broker().look().rings, TimeBudget(), lambda: True) or 0
