"""New jobs that go without the dispatcher, since they take nobody's turn."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

from django_jobs import pools
from django_jobs.engine import timing
from django_jobs.engine.dispatch import tenant_shares, window
from django_jobs.engine.dispatch.limits import has_limits
from django_jobs.engine.memory import Rest, Tries
from django_jobs.engine.ports import Queue, get_broker
from django_jobs.engine.store import database
from django_jobs.engine.store.database import store
from django_jobs.engine.store.values import Condition, NewJob, all_of, any_of
from django_jobs.exceptions import BrokerUnavailable
from django_jobs.models import Job
from django_jobs.statuses import Priority

if TYPE_CHECKING:
    from django_jobs.engine.store.base_jobs import Store

# There are two ways without the dispatcher. :func:`condition_at_insert` decides for a job that is about to be stored,
# :func:`condition_when_stored` for one that is. Whose turn it is among those that wait, :mod:`.turns` says.


_PRIORITIES: Final = tuple(map(int, Priority))
#: Marks in the rule for new jobs: what differs from job to job.
_JOB, _TYPE, _ORGANIZATION, _NEAR, _FAR, _ROOM = "job", "type", "organization", "near", "far", "room"
#: As many new jobs are stored as Queued at the same moment.
_MOST_UNSEEN: Final = 1


def condition_when_stored(job: Job, most_at_once: int) -> Condition | None:
    """Return the condition under which a new job may be queued without a turn; None if it has to wait for one.

    It may be queued if it is due, no other job waits with its priority or a higher one, and its organization is below
    its limit. Of new jobs with one priority, each sees the others wait, or counts them as in flight.

    Jobs that are being queued at this moment are not counted yet. So near its limit an organization's new job goes
    without a turn only if it leaves room for one job of each higher priority, and none waits with a lower priority.
    What waits is queued by the dispatcher, ``most_at_once`` jobs in one pass: below that distance it is near. And it
    leaves room for the job that may be stored as Queued at this moment.

    Its type is asked about once more: the transaction that submitted the job may have been open for long.

    A delayed job waits here from when it is brought into the lanes, within a second of its moment. New jobs may go
    before it until then; and one that goes in the moments of its bringing may be one too many for its organization.
    """
    if not _needs_no_pass(job):
        return None
    ask, limit = store(), tenant_shares.limit_for(job)
    rule = _rule_of_stored(ask, job.priority)
    limit -= _MOST_UNSEEN if _queues_new_jobs() else 0
    values = {
        _JOB: job.pk,
        _TYPE: job.job_type_id,
        _ORGANIZATION: ask.key_to_database(job.organization_id),
        _FAR: limit - most_at_once,
        _NEAR: limit - sum(priority > job.priority for priority in _PRIORITIES),
    }
    return Condition(rule.sql, tuple([values.get(param, param) for param in rule.params]))


@functools.cache
def _rule_of_stored(ask: Store, own: int) -> Condition:
    """Return the condition for any job of this priority, made once; the job's values take the places of the marks."""
    higher = [priority for priority in _PRIORITIES if priority > own]
    lower = [priority for priority in _PRIORITIES if priority < own]
    may_go_near = [ask.has_fewer_in_flight(_ORGANIZATION, _NEAR)]
    may_go_near += [ask.nothing_waits_of(_ORGANIZATION, priority) for priority in lower]
    has_room = any_of(ask.has_fewer_in_flight(_ORGANIZATION, _FAR), all_of(*may_go_near))
    is_first = [ask.nothing_else_waits(priority, _JOB) for priority in (own, *higher)]
    return all_of(ask.needs_no_pass(_TYPE), has_room, ask.is_due(_JOB), *is_first)


def _needs_no_pass(job: Job) -> bool:
    """Return whether a new job may go without the dispatcher, who alone knows what limits leave."""
    kind = job.job_type
    return not (kind.is_paused or has_limits(kind)) and kind.pool in pools.names()


def _queues_new_jobs() -> bool:
    """Return whether new jobs may be stored as Queued at all: not where half of a limit is none."""
    return store().queues_new_jobs and tenant_shares.default_limit() > 1


def keep_new_jobs_out() -> int:
    """Keep new jobs from being stored as Queued until the open transaction ends; return how many are at this moment."""
    return _MOST_UNSEEN if _queues_new_jobs() and not store().keep_new_jobs_out() else 0


@functools.cache
def _rule_at_insert(ask: Store, own: int, rivals: frozenset[int]) -> Condition:
    lower = [ask.nothing_waits_of(_ORGANIZATION, priority) for priority in _PRIORITIES if priority < own]
    is_first = [ask.nothing_waits(priority) for priority in _PRIORITIES if priority >= own]
    before_it = sorted(priority for priority in rivals if priority >= own)
    return all_of(*is_first, *lower, ask.is_idle(_ORGANIZATION, _NEAR, before_it, _ROOM))


# A new job of an idle system is queued by the statement that stores it, so that one commit does for both.


#: Of queuing a new job without a turn.
REST: Final = Rest(timing.SLOW_STORED_QUEUED_SECONDS)
#: Where the system is not idle, the condition is asked in vain, and costs a seventh of a submission.
TRIES: Final = Tries(7)


def condition_at_insert(new: NewJob) -> Condition | None:
    """Return the condition under which a new job may be stored as Queued; None: as Pending.

    It may be where little is in flight at all, nothing waits before it nor of its organization, the window has room,
    and half of its organization's limit is free. The other half is for what others queue at this moment and is not
    counted yet. Of these jobs one at a time is stored, and all others leave room for it.

    The broker is not asked for its room: what is Queued tells that. In a caller's transaction no job may be queued,
    since others would see neither the job nor that it takes up room.
    """
    if not _queues_new_jobs() or database.connection().in_atomic_block or REST.lasts():
        return None
    job, queue = new.job, Queue(new.job.job_type.pool, new.job.priority)
    if new.parents or job.run_at is not None or job.batch_id is not None or not _answers(queue):
        return None
    if not (TRIES.begins() and _needs_no_pass(job)):
        return None
    ask, limit, size = store(), tenant_shares.limit_for(job) // 2, window.read_window(timing.SUBMISSION_WINDOW_SECONDS)
    # What is queued is counted by priority, for any pool: with several, less may go than has room.
    rule = _rule_at_insert(ask, job.priority, frozenset({rival.priority for rival in size.rivals[queue]}))
    values = {
        _ORGANIZATION: ask.key_to_database(job.organization_id),
        _NEAR: limit,
        _ROOM: size.size(queue, job.job_type_id),
    }
    return Condition(rule.sql, tuple([values.get(param, param) for param in rule.params]))


def _answers(queue: Queue) -> bool:
    """Return whether the broker has neither failed nor been slow nor full just now."""
    try:
        broker = get_broker()
        return not (broker.failed_just_now() or broker.answers_late() or window.was_just_full(queue))
    except BrokerUnavailable:
        return False
