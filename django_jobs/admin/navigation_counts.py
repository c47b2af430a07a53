"""The numbers in the bar: counted up to a bound, and kept for some seconds for all who see the same jobs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from django.db.models import QuerySet

from django_jobs.admin.capped_counts import CappedCount
from django_jobs.engine.access import get_policy, visible_organizations
from django_jobs.engine.alerts.reading import read_lately
from django_jobs.engine.control.operations import operations_seen_by
from django_jobs.engine.dispatch.window import live_workers
from django_jobs.engine.insight.inspection import blocked, jobs
from django_jobs.engine.memory import Memory
from django_jobs.engine.store.counting import MAX_COUNT, capped_counts
from django_jobs.engine.store.database import store
from django_jobs.models import Batch, Job
from django_jobs.models.operation import OPEN
from django_jobs.statuses import IN_FLIGHT, WITH_ERRORS

ALARMS: Final = "alarms"
FAILURES: Final = "failures"
JOBS: Final = "jobs"
OPERATIONS: Final = "operations"
BATCHES: Final = "batches"
WORKERS: Final = "workers"

#: How old a number may be.
SECONDS: Final = 5.0


#: By who sees them, and which numbers these are.
_kept: Final[Memory[tuple[Any, frozenset[str]], Mapping[str, CappedCount]]] = Memory(1_000)


def read_counts(user: Any, wanted: frozenset[str]) -> Mapping[str, CappedCount]:
    """Return the wanted numbers of the jobs that this user may see, by name, as they were some seconds ago at most."""
    is_system_admin = get_policy().is_system_admin(user)
    key = ("all" if is_system_admin else user.pk, wanted)
    counts = _kept.fresh(key)
    if counts is None:
        organizations = None if is_system_admin else visible_organizations(None, user)
        counts = _kept.put(key, {name: _READERS[name](user, organizations) for name in sorted(wanted)}, SECONDS)
    return counts


def forget() -> None:
    """Forget the numbers, since what was done now should be seen at once."""
    _kept.clear()


def _in_scope(rows: QuerySet[Any], organizations: Collection[Any] | None) -> QuerySet[Any]:
    return rows if organizations is None else rows.filter(organization_id__in=organizations)


def _sum(*parts: QuerySet[Any]) -> CappedCount:
    """Return how many rows there are in all, counted up to the bound, by one statement."""
    count = sum(capped_counts(parts, MAX_COUNT))
    return CappedCount(count=min(count, MAX_COUNT), is_cut=count > MAX_COUNT)


def _failures(_user: Any, organizations: Collection[Any] | None) -> CappedCount:
    # Status by status: each has a part of the index of its own.
    scope = _in_scope(jobs(), organizations)
    return _sum(*(scope.filter(status=status).order_by("-pk") for status in sorted(WITH_ERRORS)))


def _unended(_user: Any, organizations: Collection[Any] | None) -> CappedCount:
    """Return how many jobs run, have a ticket, wait for their turn, or wait for other jobs."""
    scope: QuerySet[Job] = _in_scope(jobs(), organizations)
    backlog = store().waiting_in_order(scope)
    return _sum(scope.filter(status__in=sorted(IN_FLIGHT)), backlog, blocked() & scope)


def _operations(user: Any, _organizations: Collection[Any] | None) -> CappedCount:
    return _sum(operations_seen_by(user).filter(state__in=sorted(OPEN)))


def _batches(_user: Any, organizations: Collection[Any] | None) -> CappedCount:
    return _sum(_in_scope(Batch.primary.filter(completed_at__isnull=True), organizations))


def _workers(_user: Any, _organizations: Collection[Any] | None) -> CappedCount:
    return CappedCount(count=len(live_workers()))


def _alarms(user: Any, _organizations: Collection[Any] | None) -> CappedCount:
    return CappedCount(count=len(read_lately(user).open))


_READERS: Final[Mapping[str, Callable[[Any, Collection[Any] | None], CappedCount]]] = {
    ALARMS: _alarms,
    FAILURES: _failures,
    JOBS: _unended,
    OPERATIONS: _operations,
    BATCHES: _batches,
    WORKERS: _workers,
}
