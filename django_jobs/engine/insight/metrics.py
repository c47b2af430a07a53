"""Counts and times for people and dashboards.

Exact while what is asked about is at most BOUND jobs. Beyond that reading stays as cheap as it was:

- what waits is counted up to BOUND a priority; what waits for parents, failed or died up to BOUND;
- Completed and Canceled are what the roll-ups counted within RETENTION_DAYS or the type's own days, to a day;
- run times, failure rates and throughput are the roll-ups' of the last hour, to a minute, some seconds late; the 95th
  percentile is at most 13 % off.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from django.db.models import Count, IntegerField, Min, Q, QuerySet, Subquery, Sum

from django_jobs.conf import jobs_settings
from django_jobs.engine.dispatch.window import live_workers
from django_jobs.engine.insight import oldest_waiting, recent_runs
from django_jobs.engine.insight.activity import activities
from django_jobs.engine.insight.inspection import jobs
from django_jobs.engine.job_types.retention_days import own_retention_days
from django_jobs.engine.lookup import visible_organizations
from django_jobs.engine.store import database
from django_jobs.engine.store.chosen import store
from django_jobs.engine.store.head_starts import waits_since
from django_jobs.models import Job, Span
from django_jobs.statuses import AWAITING_RETRY, DISPATCHABLE, IN_FLIGHT, TERMINAL, WITH_ERRORS, Priority, Status

BOUND: Final = 10_000


def get_job_metrics(organization: Any = None, *, user: Any = None) -> dict[str, Any]:
    """Return counts and times of the jobs of an organization, or of all that ``user`` may see.

    Run times, failure rates and throughput are those of the last hour. A failure rate is the share of Dead Letters
    among the jobs that completed or died, from 0 to 1. ``organization`` is an id or an instance. ``active_workers``
    counts all workers, whoever asks. Raises JobNotFound when the organization does not exist, or the user may see
    nothing of it.
    """
    organizations = visible_organizations(organization, user)
    scope = jobs() if organizations is None else jobs().filter(organization_id__in=organizations)
    now = database.now()
    is_large = _is_large(scope)
    backlog = _read_depths(scope, now) if is_large else _read_backlog(scope, now)
    in_flight = _read_in_flight(scope)
    rest = _estimate_rest(scope, organizations, now) if is_large else _count_rest(scope)
    recent = recent_runs.recall(organizations, now) if is_large else recent_runs.read(scope, now)
    return {
        "job_count_by_status": _counts(backlog, in_flight, rest),
        "queue_depth_by_priority": _depths(backlog, in_flight),
        "processing_time": recent.times,
        "processing_time_by_type": recent.times_by_type,
        "failure_rate_by_type": recent.failure_rates,
        "active_workers": len(live_workers()),
        "throughput_per_minute": recent.per_minute,
        "oldest_waiting_seconds": _oldest(backlog, in_flight, now),
        "timestamp": now,
    }


class _Waiting(NamedTuple):
    """Jobs of one status and priority. ``since`` is when the one that waits longest became ready, or None."""

    status: str
    priority: int
    jobs: int
    since: dt.datetime | None


def _read_backlog(scope: QuerySet[Job], now: dt.datetime) -> list[_Waiting]:
    """Count what waits to be dispatched, at most BOUND jobs of each priority, by a statement for each priority."""
    facts: dict[str, Any] = {"since": Min(waits_since(), filter=Q(ready_at__lte=now))}
    facts |= {status.name: Count("pk", filter=Q(status=str(status))) for status in DISPATCHABLE}
    found = []
    for priority in Priority:
        rows = store().first_waiting(scope, priority, BOUND).aggregate(**facts)
        found += [
            _Waiting(str(status), int(priority), rows[status.name], rows["since"])
            for status in sorted(DISPATCHABLE)
            if rows[status.name]
        ]
    return found


def _read_depths(scope: QuerySet[Job], now: dt.datetime) -> list[_Waiting]:
    """Count the same from the index alone, which does not tell statuses apart."""
    found = []
    for priority in Priority:
        rows = oldest_waiting.aggregate(store().first_waiting(scope, priority, BOUND), priority, now, jobs=Count("pk"))
        if rows["jobs"]:
            found.append(_Waiting(str(Status.PENDING), int(priority), rows["jobs"], rows["since"]))
    return found


def _read_in_flight(scope: QuerySet[Job]) -> list[_Waiting]:
    rows = scope.filter(status__in=sorted(IN_FLIGHT)).values("status", "priority")
    counted = rows.annotate(count=Count("pk"), since=Min("queued_at"))
    return [_Waiting(*row) for row in counted.values_list("status", "priority", "count", "since")]


def _is_large(scope: QuerySet[Job]) -> bool:
    """Return whether there are more than BOUND jobs, by reading so many entries of an index at most."""
    return bool(scope.order_by("-pk").values_list("pk", flat=True)[BOUND : BOUND + 1])


#: What is neither in the backlog nor in flight: jobs that have ended, and jobs that wait for parents.
_REST: Final = Q(status__in=sorted(TERMINAL)) | Q(status__in=sorted(DISPATCHABLE), ready_at__isnull=True)


def _count_rest(scope: QuerySet[Job]) -> dict[str, int]:
    return dict(scope.filter(_REST).values_list("status").annotate(total=Count("pk")))


def _estimate_rest(scope: QuerySet[Job], organizations: list[Any] | None, now: dt.datetime) -> dict[str, int]:
    """Estimate all but what is in flight. The depths count retries as Pending, so they are subtracted there."""
    ended = _kept_days(organizations, now).aggregate(completed=Sum("completed"), canceled=Sum("canceled"))
    asked = [scope.filter(status=status) for status in sorted(WITH_ERRORS)]
    asked.append(scope.filter(status=Status.PENDING, ready_at__isnull=True))
    *with_errors, blocked = scope.order_by("-pk").values_list(*map(_UpToBound, asked))[0]
    counts = dict(zip(map(str, sorted(WITH_ERRORS)), with_errors, strict=True))
    return {
        **counts,
        str(Status.COMPLETED): ended["completed"] or 0,
        str(Status.CANCELED): ended["canceled"] or 0,
        str(Status.PENDING): blocked - sum(counts[status] for status in AWAITING_RETRY),
    }


def _kept_days(organizations: list[Any] | None, now: dt.datetime) -> QuerySet[Any]:
    """Return the activity of the days of which ended jobs are still there: each type's own days, or RETENTION_DAYS."""
    types: dict[int, list[str]] = {}
    for name, days in own_retention_days().items():
        types.setdefault(days, []).append(name)
    usual = now - dt.timedelta(days=float(jobs_settings.RETENTION_DAYS))
    kept = Q(starts_at__gte=usual) & ~Q(job_type__in=[name for names in types.values() for name in names])
    starts = {days: now - dt.timedelta(days=days) for days in types}
    for days, names in types.items():
        kept |= Q(job_type__in=names, starts_at__gte=starts[days])
    return activities(organizations, Span.DAY, min([usual, *starts.values()])).filter(kept)


class _UpToBound(Subquery):
    """Counts rows up to BOUND in a subquery, so that several counts are one statement."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) bounded)"
    output_field = IntegerField()

    def __init__(self, rows: QuerySet[Job]) -> None:
        super().__init__(rows.order_by().values("pk")[:BOUND])


def _counts(backlog: Sequence[_Waiting], in_flight: Sequence[_Waiting], rest: Mapping[str, int]) -> dict[str, int]:
    counts = Counter(rest)
    for item in [*backlog, *in_flight]:
        counts[item.status] += item.jobs
    return {str(status): max(0, counts[status]) for status in Status}


def _depths(backlog: Sequence[_Waiting], in_flight: Sequence[_Waiting]) -> dict[str, int]:
    """Return how many jobs wait for a worker, in the backlog or at the broker, by priority."""
    depths: Counter[int] = Counter()
    for item in [*backlog, *in_flight]:
        if item.status != Status.RUNNING:
            depths[item.priority] += item.jobs
    return {priority.word: depths[priority] for priority in sorted(Priority, reverse=True)}


def _oldest(backlog: Sequence[_Waiting], in_flight: Sequence[_Waiting], now: dt.datetime) -> float | None:
    """Return for how many seconds the longest-waiting due job has waited; None if none waits."""
    since = [item.since for item in [*backlog, *in_flight] if item.status != Status.RUNNING and item.since]
    return max(0.0, (now - min(since)).total_seconds()) if since else None
