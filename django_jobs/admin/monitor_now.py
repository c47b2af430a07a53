"""What waits and runs now, counted up to a bound."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Count, Min, QuerySet
from django.utils.translation import gettext as _

from django_jobs.admin.capped_counts import CappedCount
from django_jobs.engine.access import may_start
from django_jobs.engine.insight import metrics
from django_jobs.engine.insight.inspection import blocked, jobs
from django_jobs.engine.store import database
from django_jobs.engine.store.database import store
from django_jobs.models import Job, get_organization_model
from django_jobs.statuses import AWAITING_RETRY, IN_FLIGHT, Priority, Status

#: At most so many jobs of one priority are counted, and so many waiting jobs are looked at for their organizations.
BOUND: Final = 10_000
MAX_ORGANIZATIONS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """What one organization has waiting and running. ``share`` is its part of all that runs."""

    organization: Any
    name: str
    is_active: bool
    waiting: CappedCount
    running: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """The counts of this moment.

    ``blocked`` jobs wait for other jobs and are in no queue. ``depths`` are by priority, the most urgent first.
    ``running_by`` counts what runs by worker, and ``in_flight`` what is queued or runs by job type and status. If
    ``waiting`` was cut, ``oldest_seconds`` is a lower bound.
    """

    moment: dt.datetime
    waiting: CappedCount
    retrying: CappedCount
    blocked: CappedCount
    running: int
    running_by: Counter[str]
    in_flight: Counter[tuple[str, str]]
    dead: CappedCount
    oldest_seconds: float | None
    depths: list[tuple[Priority, CappedCount]]
    tenants: list[Tenant]
    is_empty: bool


def read_now(organizations: Collection[Any] | None, moment: dt.datetime) -> Now:
    """Return the counts of this moment, read in a constant number of statements."""
    scope = jobs() if organizations is None else jobs().filter(organization_id__in=organizations)
    backlog = {priority: _read_backlog(scope, priority, moment) for priority in sorted(Priority, reverse=True)}
    flight = _Flight(_read_in_flight(scope))
    depths = [
        (priority, CappedCount(count=min(total, BOUND) + flight.queued_by_priority[priority], is_cut=total > BOUND))
        for priority, (total, _) in backlog.items()
    ]
    since = [first for _, first in backlog.values()] + flight.queued_since
    oldest = min((item for item in since if item is not None), default=None)
    retrying = _bounded(scope.filter(status__in=sorted(AWAITING_RETRY)))
    held = _bounded(blocked() & scope)
    dead = _bounded(scope.filter(status=Status.DEAD_LETTER))
    waiting_count = sum(amount.count for _, amount in depths)
    return Now(
        moment=moment,
        waiting=CappedCount(count=waiting_count, is_cut=any(amount.is_cut for _, amount in depths)),
        retrying=retrying,
        blocked=held,
        running=flight.running.total(),
        running_by=flight.running_by,
        in_flight=flight.by_type,
        dead=dead,
        oldest_seconds=None if oldest is None else max(0.0, (moment - oldest).total_seconds()),
        depths=depths,
        tenants=_read_tenants(scope, flight),
        is_empty=not (waiting_count or flight.running or held.count or dead.count or scope.exists()),
    )


def _read_backlog(scope: QuerySet[Job], priority: Priority, moment: dt.datetime) -> tuple[int, dt.datetime | None]:
    """Return how many jobs wait, counted up to BOUND + 1, and since when the longest of these could run."""
    rows = store().first_waiting(scope, priority, BOUND + 1)
    found = metrics.oldest_waiting(rows, priority, moment, total=Count("pk"))
    return found["total"], found["since"]


class _Flight:
    """What is queued or running, added up in the ways that the page needs."""

    def __init__(self, rows: Iterable[tuple[Any, ...]]) -> None:
        self.queued_by_priority: Counter[int] = Counter()
        self.queued: Counter[Any] = Counter()
        self.queued_since: list[dt.datetime | None] = []
        self.running: Counter[Any] = Counter()
        self.running_by: Counter[str] = Counter()
        self.by_type: Counter[tuple[str, str]] = Counter()
        for status, priority, organization, worker, job_type, count, since in rows:
            self.by_type[job_type, status] += count
            if status == Status.QUEUED:
                self.queued_by_priority[priority] += count
                self.queued[organization] += count
                self.queued_since.append(since)
            else:
                self.running[organization] += count
                self.running_by[worker] += count


def _read_in_flight(scope: QuerySet[Job]) -> Iterable[tuple[Any, ...]]:
    names = ("status", "priority", "organization_id", "worker_name", "job_type_id")
    rows = scope.filter(status__in=sorted(IN_FLIGHT)).values(*names)
    yield from rows.annotate(count=Count("pk"), since=Min("queued_at")).values_list(*names, "count", "since")


def _bounded(rows: QuerySet[Job]) -> CappedCount:
    count = rows[: BOUND + 1].count()
    return CappedCount(count=min(count, BOUND), is_cut=count > BOUND)


def _read_tenants(scope: QuerySet[Job], flight: _Flight) -> list[Tenant]:
    """Return the organizations with the most running and waiting jobs."""
    rows = store().waiting_in_order(scope).values_list("organization_id")[: BOUND + 1]
    found = [pk for (pk,) in store().read_in_order(rows)]
    backlog = Counter(found) + flight.queued
    load = backlog + flight.running
    busiest = sorted(load, key=lambda pk: (-load[pk], str(pk)))[:MAX_ORGANIZATIONS]
    tenants = database.rows(get_organization_model()).in_bulk(busiest)
    is_cut = len(found) > BOUND
    return [_tenant(pk, tenants.get(pk), backlog[pk], flight.running, is_cut=is_cut) for pk in busiest]


def _tenant(pk: Any, row: Any, waiting_count: int, running: Counter[Any], *, is_cut: bool) -> Tenant:
    return Tenant(
        organization=row,
        name=str(row) if row is not None else _("%(organization)s, which is gone") % {"organization": pk},
        is_active=row is not None and may_start(row),
        waiting=CappedCount(count=waiting_count, is_cut=is_cut),
        running=running[pk],
        share=running[pk] / running.total() if running.total() else 0.0,
    )
