"""Passes of the dispatcher, one process at a time: what has a turn becomes Queued, and gets its tickets.

One dispatcher works at a time, held by a row lock. Jobs become Queued and are committed; only then are their tickets
pushed, because a ticket that is popped before the commit would match no row.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Final

from django_jobs.engine.dispatch import dispatch_lock, lane_marks, tenant_shares, ticketing, turns, window
from django_jobs.engine.dispatch.ticketing import Queued
from django_jobs.engine.dispatch.time_budget import TimeBudget
from django_jobs.engine.ports import Look, get_broker
from django_jobs.engine.store import database
from django_jobs.engine.store.chosen import store

#: The seconds between tries while another dispatcher has the lock. A pass takes milliseconds; these, a second.
PAUSES: Final = (0.002, 0.004, 0.008, 0.016, 0.032, 0.064, *[0.128] * 7)
#: Where one may wait in line: the pauses of who submits, before it does so once; and how often others do.
PAUSES_BEFORE_LINE: Final = (0.002, 0.004)
TIMES_IN_LINE: Final = 4


def make(rings: int, budget: TimeBudget, is_needed: Callable[[], bool]) -> int | None:
    """Dispatch, in the background for as long as the bell was rung meanwhile; how many jobs went, None if another did.

    A caller with a budget makes one pass, and works for nobody who rings meanwhile. These look again by themselves.
    There is one more where the policy lets organizations start about which it had not been asked before.
    """
    total, moved = None, _pass(budget, is_needed)
    while moved is not None:
        total = (total or 0) + len(moved.moved)
        if not tenant_shares.ask():
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
    open_to = {queue.priority for queue in size.sizes if not size.is_settled(queue, seen.depths)}
    priorities = [item for item in turns.BY_URGENCY if item in open_to]
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
    return None if moved is None else _with_tickets(moved, budget)


def _pass_at_once(budget: TimeBudget) -> Queued | None:
    """Make one pass and push its tickets; return None if another process has the lock."""
    moved = database.in_transaction(turns.fill_window)
    return None if moved is None else _with_tickets(moved, budget)


def _with_tickets(queued: Queued, budget: TimeBudget) -> Queued:
    """Push the tickets of what a pass queued. Where a queue holds too many, call those back and make another pass.

    Return what was queued.
    """
    budget.spend(functools.partial(ticketing.push_queued, queued))
    if not queued.overfull:
        return queued
    held = ticketing.call_back(queued.overfull)
    if anew := database.in_transaction(turns.fill_window):
        budget.spend(functools.partial(ticketing.push_queued, anew))
        queued = anew._replace(moved=queued.moved + anew.moved)
    get_broker().push(held)  # nobody waits behind them
    return queued


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
