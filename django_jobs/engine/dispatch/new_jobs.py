"""Which new jobs go without the dispatcher, since they take nobody's turn.

:func:`takes_no_turn` and :func:`goes_first` decide for a job that was just submitted, and :func:`goes_at_once` for one
that is about to be.
Whose turn it is among those that wait, :mod:`.round_robin` says.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

from django_jobs import pools
from django_jobs.engine.dispatch import tenant_shares
from django_jobs.engine.dispatch.type_flow import flow_of
from django_jobs.engine.dispatch.window import Window
from django_jobs.engine.ports import Queue
from django_jobs.engine.store.chosen import store
from django_jobs.engine.store.transition_values import Condition, all_of, any_of
from django_jobs.models import Job
from django_jobs.statuses import Priority

if TYPE_CHECKING:
    from django_jobs.engine.store.base import Store

_PRIORITIES: Final = tuple(map(int, Priority))
#: Marks in the rule for new jobs: what differs from job to job.
_JOB, _TYPE, _ORGANIZATION, _NEAR, _FAR, _ROOM = "job", "type", "organization", "near", "far", "room"
#: As many new jobs are stored as Queued at the same moment.
_MOST_UNSEEN: Final = 1


def takes_no_turn(job: Job, most_at_once: int) -> Condition | None:
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
    rule = _rule(ask, job.priority)
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
def _rule(ask: Store, own: int) -> Condition:
    """Return the condition for any job of this priority, made once; the job's values take the places of the marks."""
    higher = [priority for priority in _PRIORITIES if priority > own]
    lower = [priority for priority in _PRIORITIES if priority < own]
    may_go_near = [ask.has_fewer_in_flight(_ORGANIZATION, _NEAR)]
    may_go_near += [ask.nothing_waits_of(_ORGANIZATION, priority) for priority in lower]
    has_room = any_of(ask.has_fewer_in_flight(_ORGANIZATION, _FAR), all_of(*may_go_near))
    is_first = [ask.nothing_else_waits(priority, _JOB) for priority in (own, *higher)]
    return all_of(ask.needs_no_pass(_TYPE), has_room, ask.is_due(_JOB), *is_first)


def goes_first(job: Job, most_at_once: int) -> Condition | None:
    """Return the condition under which a new job may be queued before its turn; None if it has to wait for one.

    Its organization is one of those that :mod:`.first_turns` tells of, and goes first if it has nothing in flight, and
    if no other job waits of it with its priority, nor any job at all with a higher one. Near its limit, as
    :func:`takes_no_turn` says, it leaves room for one job of each higher priority, and nothing of it waits with a lower
    one.

    A pass that has counted before this job is queued may fill the limit with what the organization submits meanwhile:
    then it has one job too many.
    """
    higher = sum(priority > job.priority for priority in _PRIORITIES)
    limit = tenant_shares.limit_for(job) - (_MOST_UNSEEN if _queues_new_jobs() else 0)
    if not _needs_no_pass(job) or limit <= max(1, higher):
        return None
    ask = store()
    rule = _rule_first(ask, job.priority, is_near=limit <= most_at_once)
    values = {_JOB: job.pk, _TYPE: job.job_type_id, _ORGANIZATION: ask.key_to_database(job.organization_id)}
    return Condition(rule.sql, tuple([values.get(param, param) for param in rule.params]))


@functools.cache
def _rule_first(ask: Store, own: int, *, is_near: bool) -> Condition:
    higher = [ask.nothing_waits(priority) for priority in _PRIORITIES if priority > own]
    of_it = [ask.nothing_waits_of(_ORGANIZATION, own, besides=_JOB)]
    of_it += [ask.nothing_waits_of(_ORGANIZATION, priority) for priority in _PRIORITIES if priority < own and is_near]
    is_idle = ask.has_nothing_in_flight(_ORGANIZATION)
    return all_of(ask.needs_no_pass(_TYPE), is_idle, ask.is_due(_JOB), *higher, *of_it)


def goes_at_once(job: Job, size: Window) -> Condition | None:
    """Return the condition under which a job may be stored as Queued; None if it has to wait.

    It may be where little is in flight at all, nothing waits before it nor of its organization, the window has room,
    and half of its organization's limit is free. The other half is for what others queue at this moment and is not
    counted yet. Of these jobs one at a time is stored, and all others leave room for it.
    """
    queue = Queue(job.job_type.pool, job.priority)
    if not (_needs_no_pass(job) and _queues_new_jobs()):
        return None
    ask, limit = store(), tenant_shares.limit_for(job) // 2
    # What is queued is counted by priority, for any pool: with several, less may go than has room.
    rule = _rule_at_once(ask, job.priority, frozenset(rival.priority for rival in size.rivals[queue]))
    values = {
        _ORGANIZATION: ask.key_to_database(job.organization_id),
        _NEAR: limit,
        _ROOM: size.size(queue, job.job_type_id),
    }
    return Condition(rule.sql, tuple([values.get(param, param) for param in rule.params]))


def _needs_no_pass(job: Job) -> bool:
    """Return whether a new job may go without the dispatcher, who alone knows what limits leave."""
    kind = flow_of(job.job_type)
    return not (kind.is_paused or kind.has_limits) and kind.pool in pools.names()


def _queues_new_jobs() -> bool:
    """Return whether new jobs may be stored as Queued at all: not where half of a limit is none."""
    return store().queues_new_jobs and tenant_shares.default_limit() > 1


def unseen_at_once() -> int:
    """Keep new jobs from being stored as Queued until the open transaction ends; return how many are at this moment."""
    return _MOST_UNSEEN if _queues_new_jobs() and not store().keeps_new_jobs_out() else 0


@functools.cache
def _rule_at_once(ask: Store, own: int, rivals: frozenset[int]) -> Condition:
    lower = [ask.nothing_waits_of(_ORGANIZATION, priority) for priority in _PRIORITIES if priority < own]
    is_first = [ask.nothing_waits(priority) for priority in _PRIORITIES if priority >= own]
    before_it = sorted(priority for priority in rivals if priority >= own)
    return all_of(*is_first, *lower, ask.is_idle(_ORGANIZATION, _NEAR, before_it, _ROOM))
