"""Whose turn it is: organizations of one priority are served one after the other, whatever each has waiting."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from django_jobs.conf import jobs_settings
from django_jobs.engine.access import may_start
from django_jobs.engine.dispatch import backlog
from django_jobs.engine.dispatch.load import Load
from django_jobs.engine.store import database
from django_jobs.models import JobType, get_organization_model


def pick(priority: int, room: int, load: Load, cursors: dict[str, Any]) -> list[backlog.Candidate]:
    """Up to ``room`` jobs of a priority, one organization after the other, starting behind the last one served."""
    limit = int(jobs_settings.MAX_IN_FLIGHT_PER_ORGANIZATION)
    after = _organization_pk(cursors.get(str(priority)))
    picked: list[backlog.Candidate] = []
    batch: list[backlog.Lane] = []
    waiting: set[Any] = set()
    for lane in backlog.lanes(priority, after):
        waiting.add(lane.organization_pk)
        if load.in_flight[lane.organization_pk] >= limit:
            continue
        batch.append(lane)
        if len(batch) == backlog.LANES_AT_ONCE:
            picked += _take(priority, _open_lanes(batch), room - len(picked), load, limit)
            batch = []
            if len(picked) >= room:
                break
    if batch and len(picked) < room:
        picked += _take(priority, _open_lanes(batch), room - len(picked), load, limit)
    if picked and len(waiting) > 1:  # alone, an organization needs no turn, and the cursor no statement
        cursors[str(priority)] = str(picked[-1].organization_pk)
    return picked


def _organization_pk(text: Any) -> Any:
    return None if text is None else get_organization_model()._meta.pk.to_python(text)


def _open_lanes(lanes: list[backlog.Lane]) -> list[backlog.Lane]:
    """Without those whose type is paused or disabled, or whose organization is inactive or gone.

    A type that no longer exists is let through: the claim ends such jobs with the reason. Those of an organization
    that is gone would take its neighbors' turns for that; :mod:`django_jobs.engine.control.tenants` ends them.
    """
    types = JobType.primary.filter(pk__in={lane.job_type for lane in lanes})
    closed_types = {kind.pk for kind in types if kind.is_paused or not kind.is_enabled}
    tenants = database.rows(get_organization_model())
    organizations = tenants.filter(pk__in={lane.organization_pk for lane in lanes})
    active = {organization.pk for organization in organizations if may_start(organization)}
    return [lane for lane in lanes if lane.job_type not in closed_types and lane.organization_pk in active]


def _take(priority: int, lanes: list[backlog.Lane], room: int, load: Load, limit: int) -> list[backlog.Candidate]:
    """Round after round, one job of each organization, its longest ready first."""
    if not lanes:
        return []
    share = max(1, -(-room // len({lane.organization_pk for lane in lanes})))
    queues: dict[Any, list[backlog.Candidate]] = defaultdict(list)
    # A lane is asked for twice its even share, so that short lanes of others rarely leave room unused.
    for candidate in backlog.heads(priority, [(lane, min(room, 2 * share)) for lane in lanes]):
        queues[candidate.organization_pk].append(candidate)
    for queue in queues.values():
        queue.sort(key=lambda item: (item.ready_since, item.pk), reverse=True)
    order = [pk for pk in dict.fromkeys(lane.organization_pk for lane in lanes) if pk in queues]
    picked: list[backlog.Candidate] = []
    while order and len(picked) < room:
        for organization_pk in list(order):
            if not queues[organization_pk] or load.in_flight[organization_pk] >= limit:
                order.remove(organization_pk)
            elif len(picked) < room:
                picked.append(queues[organization_pk].pop())
                load.add(priority, organization_pk)
    return picked
