"""The rule of fairness: within a priority, organizations take turns, and each has a limit of jobs in flight.

This module alone decides which jobs go next. :func:`pick` decides for the dispatcher, which works alone under its
lock. :func:`takes_no_turn` decides for a job that was just submitted and may go without the dispatcher.

Another rule of fairness is another version of this module.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from django_jobs.conf import jobs_settings
from django_jobs.engine.access import may_start
from django_jobs.engine.dispatch import backlog
from django_jobs.engine.dispatch.in_flight import InFlight
from django_jobs.engine.store import database
from django_jobs.engine.store.chosen import store
from django_jobs.engine.store.lane_values import Candidate, Lane
from django_jobs.engine.store.transition_values import Condition, all_of, any_of
from django_jobs.models import Job, JobType, get_organization_model
from django_jobs.statuses import Priority

if TYPE_CHECKING:
    from django_jobs.engine.store.base import Store

_PRIORITIES: Final = tuple(map(int, Priority))
#: Marks in the rule for new jobs: what differs from job to job.
_JOB, _ORGANIZATION, _NEAR, _FAR = "job", "organization", "near", "far"


def in_flight_limit() -> int:
    """Return how many jobs of one organization may be queued or running at once."""
    return int(jobs_settings.MAX_IN_FLIGHT_PER_ORGANIZATION)


def takes_no_turn(job: Job, most_at_once: int) -> Condition | None:
    """Return the condition under which a new job may be queued without a turn; None if it has to wait for one.

    It may be queued if it is due, no other job waits with its priority or a higher one, and its organization is below
    its limit. Of new jobs with one priority, each sees the others wait, or counts them as in flight.

    Jobs that are being queued at this moment are not counted yet. So near its limit an organization's new job goes
    without a turn only if it leaves room for one job of each higher priority, and none waits with a lower priority.
    What waits is queued by the dispatcher, ``most_at_once`` jobs in one pass: below that distance it is near.
    """
    if job.job_type.is_paused:
        return None
    ask, limit = store(), in_flight_limit()
    rule = _rule(ask, job.priority)
    values = {
        _JOB: job.pk,
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
    return all_of(has_room, ask.is_due(_JOB), *is_first)


def pick(priority: int, room: int, in_flight: InFlight, cursors: dict[str, Any]) -> list[Candidate]:
    """Return up to ``room`` jobs of a priority: one of each organization in turn, from behind the one served last.

    What is picked is added to ``in_flight``, and ``cursors`` gets the organization that was served last.
    """
    limit = in_flight_limit()
    after = _organization_pk(cursors.get(str(priority)))
    picked: list[Candidate] = []
    batch: list[Lane] = []
    waiting: set[Any] = set()
    for lane in backlog.lanes(priority, after):
        waiting.add(lane.organization_pk)
        if in_flight.by_organization[lane.organization_pk] >= limit:
            continue
        batch.append(lane)
        if len(batch) == backlog.LANES_AT_ONCE:
            picked += _take(priority, _open_lanes(batch), room - len(picked), in_flight, limit)
            batch = []
            if len(picked) >= room:
                break
    if batch and len(picked) < room:
        picked += _take(priority, _open_lanes(batch), room - len(picked), in_flight, limit)
    if picked and len(waiting) > 1:  # alone, an organization needs no turn, and the cursor no statement
        cursors[str(priority)] = str(picked[-1].organization_pk)
    return picked


def _organization_pk(text: Any) -> Any:
    return None if text is None else get_organization_model()._meta.pk.to_python(text)


def _open_lanes(lanes: list[Lane]) -> list[Lane]:
    """Leave out lanes whose type is paused or disabled, or whose organization is inactive or gone.

    A type that no longer exists is let through: the claim ends such jobs with the reason. Those of an organization
    that is gone would take its neighbors' turns for that; :mod:`django_jobs.engine.control.tenants` ends them.
    """
    types = JobType.primary.filter(pk__in={lane.job_type for lane in lanes})
    closed_types = {kind.pk for kind in types if kind.is_paused or not kind.is_enabled}
    tenants = database.rows(get_organization_model())
    organizations = tenants.filter(pk__in={lane.organization_pk for lane in lanes})
    active = {organization.pk for organization in organizations if may_start(organization)}
    return [lane for lane in lanes if lane.job_type not in closed_types and lane.organization_pk in active]


def _take(priority: int, lanes: list[Lane], room: int, in_flight: InFlight, limit: int) -> list[Candidate]:
    """Take jobs in rounds: in each round one job of each organization, the one that has been ready the longest."""
    if not lanes:
        return []
    share = max(1, -(-room // len({lane.organization_pk for lane in lanes})))
    queues: dict[Any, list[Candidate]] = defaultdict(list)
    # A lane is asked for twice its even share, so that short lanes of others rarely leave room unused.
    for candidate in store().heads(priority, [(lane, min(room, 2 * share)) for lane in lanes]):
        queues[candidate.organization_pk].append(candidate)
    for queue in queues.values():
        queue.sort(key=lambda item: (item.ready_since, item.pk), reverse=True)
    order = [pk for pk in dict.fromkeys(lane.organization_pk for lane in lanes) if pk in queues]
    picked: list[Candidate] = []
    while order and len(picked) < room:
        for organization_pk in list(order):
            if not queues[organization_pk] or in_flight.by_organization[organization_pk] >= limit:
                order.remove(organization_pk)
            elif len(picked) < room:
                picked.append(queues[organization_pk].pop())
                in_flight.add(priority, organization_pk)
    return picked
