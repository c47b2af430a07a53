"""From the backlog to the broker: passes of the dispatcher, who makes them, and when.

A pass moves jobs from the backlog to the broker's queues, in one transaction under a row lock:

1. take the dispatcher's lock (:mod:`.in_flight`), so that one process works at a time;
2. count the jobs that are queued or running, and read what the last pass left (:mod:`.backlog`);
3. compute how much room the window of each queue has (:mod:`.window`);
4. pick jobs, the most urgent queue first: organizations take turns by weighted round robin (:mod:`.turns`), within the
   limits of types and keys (:mod:`.limits`) and their rates of starts (:mod:`.rates`);
5. move these jobs to Queued, write what the next pass needs into the lock's row, and commit.

After the commit the same process pushes the tickets (:mod:`.tickets`). A ticket that a worker pops before the commit
would match no row.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import logging
import math
import operator
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextvars import ContextVar
from typing import Final

from django.db import Error
from django.db.models import Q

from django_jobs import pools
from django_jobs.engine import timing
from django_jobs.engine.actors import SYSTEM
from django_jobs.engine.dispatch import backlog, in_flight, new_jobs, tenant_shares, tickets, turns, window
from django_jobs.engine.dispatch.tickets import Queued
from django_jobs.engine.ports import BrokerState, Queue, get_broker
from django_jobs.engine.store.base_core import Moment
from django_jobs.engine.store.database import store
from django_jobs.engine.store.values import Condition, Move, Moved, Terms
from django_jobs.engine.transitions import move
from django_jobs.exceptions import BrokerUnavailable
from django_jobs.models import EngineLease, Job, JobType
from django_jobs.statuses import DISPATCHABLE, Priority, Status
from django_jobs.texts import say

TIMES_IN_LINE: Final = 4


def make_passes(rings: int, is_needed: Callable[[], bool], *, in_haste: bool = False) -> int | None:
    """Dispatch, in the background for as long as the bell was rung meanwhile; how many jobs went, None if another did.

    A caller in haste makes one pass, and works for nobody who rings meanwhile. These look again by themselves.
    There is one more where the policy lets organizations start about which it had not been asked before.
    """
    total, queued = None, turns.fill_window() or _after_others(is_needed, in_haste=in_haste)
    while queued is not None:
        total = (total or 0) + len(_with_tickets(queued).moved)
        if not tenant_shares.ask():
            if in_haste:
                return total
            seen = get_broker().look()
            if seen.rings == rings or not _anything_may_go(seen):
                return total
            rings = seen.rings
        # Whoever has the lock now looks at the bell after its pass.
        queued = turns.fill_window()
    return total


def _anything_may_go(seen: BrokerState) -> bool:
    """Return whether a job may wait for which the broker has room. Who rang may want another one than this process."""
    size = window.read_window()
    open_to = {queue.priority for queue in size.sizes if not size.is_exactly_full(queue, seen.depths)}
    priorities = [item for item in turns.BY_URGENCY if item in open_to]
    return bool(priorities) and backlog.anything_may_wait(priorities)


def _after_others(is_needed: Callable[[], bool], *, in_haste: bool) -> Queued | None:
    """Make a pass after others; return what it queued. None if they have the lock for too long, or did the work.

    One process works at a time. Whoever finds another at work tries again for a short while, and leaves as soon as a
    pass is no longer needed: each that began after the caller's commit does its work. One in haste, who may have to
    give up, rings before; who is in the background hears that after its pass. Did these ring, too, they would go on for
    each other for as long as a backlog lasts.
    """
    if in_haste:
        get_broker().ring()
    for pause, seconds in _tries(in_haste=in_haste):
        time.sleep(pause)
        if not is_needed():
            return None
        queued = turns.fill_window(seconds)
        if queued is not None:
            return queued
    return None


def _with_tickets(queued: Queued) -> Queued:
    """Push the tickets of what a pass queued. Where a queue holds too many, call those back and make another pass.

    Return what was queued.
    """
    tickets.push_tickets(queued.moved)
    if not queued.overfull:
        return queued
    held = tickets.unqueue_overfull(queued.overfull)
    if anew := turns.fill_window():
        tickets.push_tickets(anew.moved)
        queued = anew._replace(moved=queued.moved + anew.moved)
    get_broker().push(held)  # nobody waits behind them
    return queued


def _tries(*, in_haste: bool) -> list[tuple[float, float]]:
    """Return for each further try how long to pause before it, and how long to wait in line for the lock, in seconds.

    Those who take shares of the backlog wait in line, and would leave nothing to who only looks. Who submits looks at
    first, since mostly another's pass does its work.
    """
    if not store().waits_in_line:
        return [(pause, 0.0) for pause in timing.PASS_RETRY_SECONDS]
    in_line = (0.0, timing.LOCK_WAIT_SECONDS)
    return (
        [*((pause, 0.0) for pause in timing.SUBMISSION_PASS_RETRY_SECONDS), in_line]
        if in_haste
        else [in_line] * TIMES_IN_LINE
    )


# Dispatching since jobs ended that were counted by limits of their types: others may start in their place.
#
# Such ends come from all workers at once, and to look who has the dispatcher's lock costs a transaction. So whoever
# stores one rings the broker's bell and takes the lead, in one call; where somebody else has the lead, that is all. The
# leader makes passes for as long as the bell is rung (flat combining: D. Hendler, I. Incze, N. Shavit and M. Tzafrir,
# 2010). Where a leader dies, its lead runs out, and the workers look again by themselves meanwhile.


def dispatch_freed(*, has_ended: bool) -> bool:
    """Dispatch in place of jobs that ended, unless somebody else does; return whether to call this again soon.

    Without ``has_ended`` nothing ended that a pass that is under way might not know: then the bell is not rung.
    Call it again soon also where somebody who does not hear the bell had the dispatchers' lock for too long: that pass
    may have begun before the end was stored.
    Raises BrokerUnavailable, and errors of the database.
    """
    broker, leader, until = get_broker(), uuid.uuid4().hex, time.monotonic() + timing.LONGEST_LEAD_SECONDS
    rings: int | None = None
    while broker.lead(leader, timing.LEAD_SECONDS, rings=has_ended and rings is None):
        try:
            while (seen := broker.look()).rings != rings:
                if rings is not None and time.monotonic() > until:
                    return True
                moved = turns.fill_window(timing.LOCK_WAIT_SECONDS)
                if moved is None:
                    time.sleep(timing.LOCK_RETRY_SECONDS)
                    return True
                tickets.push_tickets(moved.moved)
                rings = None if tenant_shares.ask() else seen.rings
                time.sleep(timing.PASS_PAUSE_SECONDS)
                broker.lead(leader, timing.LEAD_SECONDS, rings=False)
        finally:
            broker.stop_leading(leader)
        # Somebody may have rung, and found this process in the lead, just before it gave that up.
        if broker.look().rings == rings:
            break
    return False


# For whom passes are made: new jobs, workers that took tickets, bursts, the scheduler.


logger = logging.getLogger("django_jobs")

_put_off: Final[ContextVar[list[bool] | None]] = ContextVar("django_jobs_put_off", default=None)


def wake() -> int:
    """Dispatch what may go if the broker has room for any of it; return how many jobs went.

    For a caller who must not wait long: where the broker answers late, the scheduler does the rest.
    Raises neither BrokerUnavailable nor a database error, since the scheduler tries again.
    """
    if _leave_to_one_pass():
        return 0
    return _quietly(lambda: _dispatch_if_room(Priority.CRITICAL, 1.0, in_haste=True))


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


def _leave_to_one_pass() -> bool:
    """Leave the dispatch to the end of the block of :func:`one_pass`; return whether one is open."""
    wanted = _put_off.get()
    if wanted is not None:
        wanted.append(True)
    return wanted is not None


def dispatch_patiently() -> int:
    """Bring in what is due by now, and do what :func:`wake` does, however slow the broker is. For background processes.

    Tickets may be called back even if nothing waits. Return how many jobs went.
    """
    _quietly(backlog.bring_due)
    return _quietly(lambda: _dispatch_if_room(Priority.CRITICAL, 1.0, calls_back=True))


def dispatch_new(job: Job) -> int:
    """Queue a job that was just submitted, in one statement, if it takes nobody's turn; else dispatch as :func:`wake`.

    Return how many jobs went.
    """
    return _quietly(lambda: _dispatch_new(job))


def _dispatch_new(job: Job) -> int | None:
    queue = Queue(job.job_type.pool, job.priority)
    if window.was_just_full(queue):
        return 0
    seen, size = _look(in_haste=True), window.read_window()
    taken = size.taken(queue, seen.depths)
    has_room = taken < size.size(queue, job.job_type_id)
    may_change = has_room or not (size.is_exactly_full(queue, seen.depths) or window.is_full_still(queue, taken))
    if not may_change:
        window.note_full(queue)
        return 0
    if has_room and (moved := _queue_without_turn(job, new_jobs.condition_when_stored(job, size.most_at_once))):
        tickets.push_tickets(moved)
        return len(moved)
    if _leave_to_one_pass():
        return 0
    count = make_passes(seen.rings, lambda: _may_go(job, queue), in_haste=True)
    if count == 0 and not has_room:
        window.note_full(queue, taken)
    return count


def _may_go(job: Job, queue: Queue) -> bool:
    """Return whether a new job waits for dispatch still, and the broker has room for it."""
    waits = Job.primary.filter(pk=job.pk, ready_at__isnull=False).exists()
    return waits and not window.read_window().is_exactly_full(queue, _look(in_haste=True).depths)


def _queue_without_turn(job: Job, condition: Condition | None) -> list[Moved]:
    """Queue a new job if the rule of fairness lets it go without a turn. Its type was just read."""
    # Beside a snapshot its conditions visit ever more dead entries; the dispatcher has marks.
    if condition is None or new_jobs.REST.lasts():
        return []
    moves = [Move(pk=job.pk, to_status=Status.QUEUED, values=turns.QUEUED)]
    # A row that somebody holds is left to the dispatcher: the condition would be out of date after the wait.
    terms = Terms(sources=DISPATCHABLE, actor=SYSTEM, skip_locked=True, only_due=True, only_if=condition)
    moved = new_jobs.REST.after(lambda: move(moves, terms))
    backlog.note_taken(moved)
    return moved


def refill(priority: int, in_pools: Collection[str] = (), *, if_empty: bool = False) -> int:
    """Dispatch for a worker that took tickets of this priority, once half of the window is free; return how many went.

    Waiting for half of it makes jobs go in sets, which cost less each. ``if_empty`` waits until no ticket takes up room
    of this priority, or of a lower one. Only room of these pools counts, where any is named: of the others the window
    may be empty for ever.
    """
    share = 0.0 if if_empty else 0.5
    return _quietly(lambda: _dispatch_if_room(priority, share, in_pools))


def dispatch_what_is_left(queues: Collection[str] = ()) -> bool:
    """Dispatch, also what is due by now, and return whether any job is Queued; for a burst that asks if it is over.

    Only jobs whose tickets go to these ``queues`` count, without any to those of the default pool. Also return True if
    another process dispatches at this moment. Raises BrokerUnavailable and errors of the database, since a broker that
    does not answer is not one without work.
    """
    backlog.bring_due()
    if _dispatch_if_room(Priority.LOW, 1.0) is None:
        return True
    rows = Job.primary.filter(status=Status.QUEUED)
    if queues or pools.configured():
        served = pools.served_by(queues)
        of_each = [
            Q(job_type__pool=pool, priority__in=[queue.priority for queue in pools.of_pool(served, pool)])
            for pool in {queue.pool for queue in served}
        ]
        rows = rows.filter(functools.reduce(operator.or_, of_each, Q(pk__in=[])))
    return rows.exists()


def _dispatch_if_room(
    priority: int,
    share: float,
    in_pools: Collection[str] = (),
    *,
    calls_back: bool = False,
    in_haste: bool = False,
) -> int | None:
    seen, size = _look(in_haste=in_haste), window.read_window()
    has_room = functools.partial(size.has_room, priority, share, in_pools=in_pools)
    if not has_room(seen.depths):
        return 0
    if not (backlog.anything_may_wait(turns.BY_URGENCY) or (calls_back and size.may_be_overfull(seen.depths))):
        return 0
    return make_passes(seen.rings, lambda: has_room(_look(in_haste=in_haste).depths), in_haste=in_haste)


def _look(*, in_haste: bool) -> BrokerState:
    """Return what the broker says. Raises BrokerUnavailable, for a caller in haste also where it answers late."""
    broker = get_broker()
    seen = None if in_haste and broker.answers_late() else broker.look()
    if seen is None or (in_haste and broker.answers_late()):
        raise BrokerUnavailable(say("The broker answered late a moment ago", code="broker_late"))
    return seen


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
    backlog.bring_due()
    return make_passes(get_broker().look().rings, lambda: True) or 0


# The leading scheduler's part in rates of starts and breakers: a pass exactly when one may start more.
#
# In a scheduler that runs in a loop this has a thread of its own; a single tick dispatches anyway. Where no type has a
# rate or a breaker, it asks for one of those once in some seconds, and does nothing else.


DUTY: Final = "start_waiting"

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_IN_USE: Final = Q(max_starts__isnull=False) | Q(max_starts_per_key__isnull=False) | Q(breaker_failures__gt=0)


class FlowClock:
    """Makes passes when they may start more, for one scheduler."""

    def __init__(self) -> None:
        self._is_used = False
        self._asks_at = -math.inf
        self._passes_at = -math.inf
        #: The moment in the row for which a pass was made: it stays there where that had no room, or nothing waited.
        self._done: float | None = None

    def step(self) -> tuple[int, float]:
        """Make a pass if one may start more, and return how many jobs went, and in how many seconds to look again."""
        if not self._may_be_used():
            return 0, timing.START_CLOCK_USE_SECONDS
        written, until_written = self._written()
        wait = max(until_written, self._passes_at - time.monotonic())
        if wait > 0:
            return 0, min(wait, timing.START_CLOCK_LOOK_SECONDS)
        self._done = written
        self._passes_at = time.monotonic() + timing.START_CLOCK_PASS_SECONDS
        return dispatch_patiently(), timing.START_CLOCK_PASS_SECONDS

    def _written(self) -> tuple[float | None, float]:
        """Return the moment that the last pass of any process wrote, and in how many seconds that is.

        That is infinity where there is none, or a pass was made for it. Both are told by the database's clock: a pass
        that comes too early by it would start nothing.
        """
        rows = EngineLease.primary.filter(pk=in_flight.LOCK_LEASE)
        found = rows.values_list(f"state__{in_flight.NEXT_START}", Moment()).first()
        if found is None or found[0] is None or found[0] == self._done:
            return None, math.inf
        return found[0], found[0] - (found[1] - _EPOCH).total_seconds()

    def _may_be_used(self) -> bool:
        """Return whether any type has a rate or a breaker, as it was lately."""
        now = time.monotonic()
        if now >= self._asks_at:
            self._asks_at = now + timing.START_CLOCK_USE_SECONDS
            self._is_used = JobType.primary.filter(_IN_USE).exists()
        return self._is_used
