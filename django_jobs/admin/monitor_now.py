"""What waits and runs now, counted up to a bound."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Count, Min, Q, QuerySet

from django_jobs.engine.access import may_start
from django_jobs.engine.inspection import jobs, waiting
from django_jobs.models import Job, get_organization_model
from django_jobs.statuses import IN_FLIGHT, Priority, Status

#: Jobs of one priority that are counted, and waiting jobs whose organizations are looked at.
BOUND: Final = 10_000
MAX_ORGANIZATIONS: Final = 20
RETRYING: Final = (Status.FAILED, Status.TIMED_OUT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """A number of jobs, or at least so many."""

    count: int
    is_cut: bool = False

    def __str__(self) -> str:
        return f"{self.count:,}{'+' if self.is_cut else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """What one organization has waiting and running; ``share`` is its part of all that runs."""

    organization: Any
    name: str
    is_active: bool
    waiting: Amount
    running: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """``blocked`` waits for other jobs and is in no queue. ``depths`` are by priority, the most urgent first."""

    moment: dt.datetime
    waiting: Amount
    retrying: Amount
    blocked: Amount
    running: int
    dead: Amount
    oldest_seconds: float | None
    depths: list[tuple[Priority, Amount]]
    tenants: list[Tenant]
    is_empty: bool


def read_now(organizations: Collection[Any] | None, moment: dt.datetime) -> Now:
    """In a constant number of statements."""
    scope = jobs() if organizations is None else jobs().filter(organization_id__in=organizations)
    backlog = {priority: _read_backlog(scope, priority, moment) for priority in sorted(Priority, reverse=True)}
    in_flight = list(_read_in_flight(scope))
    queued: Counter[int] = Counter()
    running: Counter[Any] = Counter()
    for status, priority, organization, count, _ in in_flight:
        if status == Status.QUEUED:
            queued[priority] += count
        else:
            running[organization] += count
    depths = [
        (priority, Amount(count=row["total"] + queued[priority], is_cut=row["total"] >= BOUND))
        for priority, row in backlog.items()
    ]
    since = [row["since"] for row in backlog.values()] + [row[4] for row in in_flight if row[0] == Status.QUEUED]
    oldest = min((item for item in since if item is not None), default=None)
    is_cut = any(row["total"] >= BOUND for row in backlog.values())
    return Now(
        moment=moment,
        waiting=Amount(count=sum(amount.count for _, amount in depths), is_cut=is_cut),
        retrying=Amount(count=sum(row["retrying"] for row in backlog.values()), is_cut=is_cut),
        blocked=_bounded(scope.filter(status=Status.PENDING, ready_at__isnull=True)),
        running=running.total(),
        dead=_bounded(scope.filter(status=Status.DEAD_LETTER)),
        oldest_seconds=None if oldest is None else max(0.0, (moment - oldest).total_seconds()),
        depths=depths,
        tenants=_read_tenants(scope, in_flight, running),
        is_empty=not scope.exists(),
    )


def _read_backlog(scope: QuerySet[Job], priority: Priority, moment: dt.datetime) -> dict[str, Any]:
    # Written as `&` and not as a filter on the slice, which the database would apply too late.
    rows = (waiting() & scope).filter(priority=priority)[:BOUND]
    return rows.aggregate(
        total=Count("pk"),
        retrying=Count("pk", filter=Q(status__in=RETRYING)),
        since=Min("ready_at", filter=Q(ready_at__lte=moment)),
    )


def _read_in_flight(scope: QuerySet[Job]) -> QuerySet[Job, tuple[Any, ...]]:
    rows = scope.filter(status__in=sorted(IN_FLIGHT)).values("status", "priority", "organization_id")
    counted = rows.annotate(count=Count("pk"), since=Min("queued_at"))
    return counted.values_list("status", "priority", "organization_id", "count", "since")


def _bounded(rows: QuerySet[Job]) -> Amount:
    count = rows[: BOUND + 1].count()
    return Amount(count=min(count, BOUND), is_cut=count > BOUND)


def _read_tenants(scope: QuerySet[Job], in_flight: list[Any], running: Counter[Any]) -> list[Tenant]:
    """Those with the most running and waiting."""
    found = list((waiting() & scope).values_list("organization_id", flat=True)[: BOUND + 1])
    backlog = Counter(found)
    for status, _, organization, count, _ in in_flight:
        backlog[organization] += count if status == Status.QUEUED else 0
    load: dict[Any, int] = defaultdict(int)
    for counts in (backlog, running):
        for pk, count in counts.items():
            load[pk] += count
    busiest = sorted(load, key=lambda pk: (-load[pk], str(pk)))[:MAX_ORGANIZATIONS]
    rows = get_organization_model()._default_manager.using(scope.db).in_bulk(busiest)
    is_cut = len(found) > BOUND
    return [_tenant(pk, rows.get(pk), backlog[pk], running, is_cut=is_cut) for pk in busiest]


def _tenant(pk: Any, row: Any, waiting_count: int, running: Counter[Any], *, is_cut: bool) -> Tenant:
    return Tenant(
        organization=row,
        name=str(row) if row is not None else f"{pk}, which is gone",
        is_active=row is not None and may_start(row),
        waiting=Amount(count=waiting_count, is_cut=is_cut),
        running=running[pk],
        share=running[pk] / running.total() if running.total() else 0.0,
    )
