"""A new job of an idle system is queued by the statement that stores it, so that one commit does for both."""

from __future__ import annotations

from typing import Final

from django_jobs.engine.dispatch import new_jobs, window
from django_jobs.engine.dispatch.rests import Rest
from django_jobs.engine.dispatch.time_budget import TimeBudget
from django_jobs.engine.ports import Queue, get_broker
from django_jobs.engine.store import database
from django_jobs.engine.store.chosen import store
from django_jobs.engine.store.insertion_values import NewJob
from django_jobs.engine.store.transition_values import Condition
from django_jobs.engine.tries import Tries
from django_jobs.exceptions import BrokerUnavailable

#: What the broker may cost a caller who submits. A call that has begun may still take its whole timeout.
BUDGET_SECONDS: Final = 0.3
#: Queuing a new job without a turn: seconds after which it counts as slow. Its commit is included, which takes tens of
#: milliseconds where a distant standby has to confirm it.
REST: Final = Rest(0.05)
#: Where the system is not idle, the condition is asked in vain, and costs a seventh of a submission.
TRIES: Final = Tries(7)
#: For so many seconds this goes by what the workers asked for, since reading that takes a statement.
WINDOW_SECONDS: Final = 2.0


def at_once(new: NewJob) -> Condition | None:
    """Return the condition under which a new job may be stored as Queued; None: as Pending.

    The broker is not asked for its room: what is Queued tells that. In a caller's transaction no job may be queued,
    since others would see neither the job nor that it takes up room.
    """
    if not store().queues_new_jobs or database.connection().in_atomic_block or REST.lasts():
        return None
    job, queue = new.job, Queue(new.job.job_type.pool, new.job.priority)
    if new.parents or job.run_at is not None or job.batch_id is not None or not _answers(queue):
        return None
    return new_jobs.goes_at_once(new.job, window.read_window(WINDOW_SECONDS)) if TRIES.is_due() else None


def _answers(queue: Queue) -> bool:
    """Return whether the broker has neither failed nor been slow nor full just now."""
    broker = get_broker()
    is_slow = TimeBudget(BUDGET_SECONDS).is_spent()
    try:
        return not (is_slow or broker.failed_just_now() or window.was_just_full(broker, queue))
    except BrokerUnavailable:
        return False
