"""Counts and times for people and dashboards.

Exact while there are at most BOUND jobs. Beyond that reading stays as cheap as it was: what waits is counted up to
BOUND a priority, what has ended among the BOUND newest jobs, and run times are those of a sample.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, NamedTuple

from django.db.models import Count, Min, Q, QuerySet

from django_jobs.engine import database
from django_jobs.engine.announcements import live_workers
from django_jobs.engine.inspection import jobs, waiting
from django_jobs.engine.lookup import visible_organizations
from django_jobs.models import ExecutionLog, Job
from django_jobs.statuses import DISPATCHABLE, IN_FLIGHT, TERMINAL, Priority, Status

BOUND: Final = 10_000
RECENTLY: Final = dt.timedelta(hours=1)
_PERCENTILE: Final = 0.95


def get_job_metrics(organization: Any = None, *, user: Any = None) -> dict[str, Any]:
    """How the jobs of an organization, or of all that ``user`` may see, are doing.

    Run times, failure rates and throughput are those of the last hour; a rate is the share of Dead Letters among what
    completed or died, from 0 to 1. ``organization`` is an id or an instance; JobNotFound when it does not exist, or
    the user may see nothing of it. ``active_workers`` are everybody's.
    """
    organizations = visible_organizations(organization, user)
    scope = jobs() if organizations is None else jobs().filter(organization_id__in=organizations)
    now = database.now()
    backlog = _read_backlog(scope, now)
    in_flight = _read_in_flight(scope)
    newest = _newest(scope)
    recent = _read_recent(newest, organizations, now)
    return {
        "job_count_by_status": _counts(backlog, in_flight, newest.rows),
        "queue_depth_by_priority": _depths(backlog, in_flight),
        "processing_time": _times(run.seconds for run in recent.completed),
        "processing_time_by_type": _times_by_type(recent.completed),
        "failure_rate_by_type": _failure_rates(recent),
        "active_workers": len(live_workers()),
        "throughput_per_minute": recent.per_minute,
        "oldest_waiting_seconds": _oldest(backlog, in_flight, now),
        "timestamp": now,
    }


class _Waiting(NamedTuple):
    """So many jobs of one status and priority; ``since`` when the one that waits longest was ready, or None."""

    status: str
    priority: int
    jobs: int
    since: dt.datetime | None


def _read_backlog(scope: QuerySet[Job], now: dt.datetime) -> list[_Waiting]:
    """What waits to be dispatched, at most BOUND jobs of each priority; a statement for each."""
    facts: dict[str, Any] = {"since": Min("ready_at", filter=Q(ready_at__lte=now))}
    facts |= {status.name: Count("pk", filter=Q(status=str(status))) for status in DISPATCHABLE}
    found = []
    for priority in Priority:
        # Written as `&` and not as a filter on the slice, which the database would apply too late.
        rows = (waiting() & scope).filter(priority=priority)[:BOUND].aggregate(**facts)
        found += [
            _Waiting(str(status), int(priority), rows[status.name], rows["since"])
            for status in sorted(DISPATCHABLE)
            if rows[status.name]
        ]
    return found


def _read_in_flight(scope: QuerySet[Job]) -> list[_Waiting]:
    rows = scope.filter(status__in=sorted(IN_FLIGHT)).values("status", "priority")
    counted = rows.annotate(count=Count("pk"), since=Min("queued_at"))
    return [_Waiting(*row) for row in counted.values_list("status", "priority", "count", "since")]


@dataclasses.dataclass(frozen=True, slots=True)
class _Newest:
    """The newest jobs of a scope; ``is_cut`` when there are older ones."""

    rows: QuerySet[Job]
    is_cut: bool


def _newest(scope: QuerySet[Job]) -> _Newest:
    """The BOUND newest jobs, found by a walk over an index that ends there."""
    last = scope.order_by("-pk").values_list("pk", flat=True)[BOUND : BOUND + 1].first()
    return _Newest(scope if last is None else scope.filter(pk__gt=last), last is not None)


def _counts(backlog: Sequence[_Waiting], in_flight: Sequence[_Waiting], newest: QuerySet[Job]) -> dict[str, int]:
    """Every status with its count: what can move from its own index, what has ended and what waits for parents
    from the newest.
    """
    counts: Counter[str] = Counter()
    for item in [*backlog, *in_flight]:
        counts[item.status] += item.jobs
    rest = newest.filter(Q(status__in=sorted(TERMINAL)) | Q(status__in=sorted(DISPATCHABLE), ready_at__isnull=True))
    counts.update(dict(rest.values_list("status").annotate(total=Count("pk"))))
    return {str(status): counts[status] for status in Status}


def _depths(backlog: Sequence[_Waiting], in_flight: Sequence[_Waiting]) -> dict[str, int]:
    """What waits for a worker, here or at the broker, by priority."""
    depths: Counter[int] = Counter()
    for item in [*backlog, *in_flight]:
        if item.status != Status.RUNNING:
            depths[item.priority] += item.jobs
    return {priority.label: depths[priority] for priority in sorted(Priority, reverse=True)}


def _oldest(backlog: Sequence[_Waiting], in_flight: Sequence[_Waiting], now: dt.datetime) -> float | None:
    """How long the job has waited that has waited longest since it was due, in seconds; None where none waits."""
    since = [item.since for item in [*backlog, *in_flight] if item.status != Status.RUNNING and item.since]
    return max(0.0, (now - min(since)).total_seconds()) if since else None


class _Run(NamedTuple):
    """A job that completed or died."""

    pk: int
    job_type: str
    status: str
    started_at: Any
    completed_at: Any

    @property
    def seconds(self) -> float:
        return float((self.completed_at - (self.started_at or self.completed_at)).total_seconds())


@dataclasses.dataclass(frozen=True, slots=True)
class _Recent:
    """What ended lately: runs that completed, the types of what died, and how many complete a minute."""

    completed: list[_Run]
    died: Counter[str]
    per_minute: float


_ENDS: Final = (str(Status.COMPLETED), str(Status.DEAD_LETTER))
_RUN_FIELDS: Final = ("pk", "job_type_id", "status", "started_at", "completed_at")


def _read_recent(newest: _Newest, organizations: list[Any] | None, now: dt.datetime) -> _Recent:
    """What ended in the last hour: all of it while there are few jobs, else a sample.

    The newest jobs alone would tell nothing while older ones are worked off; so there the tail of the log, which
    holds whatever happened last, is added, and tells how fast it goes.
    """
    since = now - RECENTLY
    rows = newest.rows.filter(status__in=_ENDS, completed_at__gte=since)
    runs = {row[0]: _Run(*row) for row in rows.values_list(*_RUN_FIELDS)}
    per_minute = _completed_per_minute(runs.values(), RECENTLY.total_seconds())
    if newest.is_cut:
        tail, seconds = _read_tail(organizations, since, now)
        runs |= {run.pk: run for run in tail}
        per_minute = _completed_per_minute(tail, seconds) or per_minute
    completed = [run for run in runs.values() if run.status == Status.COMPLETED]
    return _Recent(
        completed, Counter(run.job_type for run in runs.values() if run.status != Status.COMPLETED), per_minute
    )


def _read_tail(organizations: list[Any] | None, since: dt.datetime, now: dt.datetime) -> tuple[list[_Run], float]:
    """What ended within the log's last BOUND rows, and how many seconds they go back; an hour at most."""
    logs = ExecutionLog.objects.using(database.alias()).order_by()
    last = logs.order_by("-pk").values_list("pk", flat=True).first() or 0
    tail = logs.filter(pk__gt=last - BOUND)
    first = tail.order_by("pk").values_list("timestamp", flat=True).first() or now
    first = max(first, since)
    ends = tail.filter(to_status__in=_ENDS, timestamp__gte=first, job__status__in=_ENDS, job__completed_at__gte=since)
    if organizations is not None:
        ends = ends.filter(job__organization_id__in=organizations)
    rows = ends.values_list(*(f"job__{name}" for name in _RUN_FIELDS))
    return [_Run(*row) for row in rows], (now - first).total_seconds()


def _completed_per_minute(runs: Collection[_Run], seconds: float) -> float:
    return sum(run.status == Status.COMPLETED for run in runs) / (max(1.0, seconds) / 60)


def _times(seconds: Iterable[float]) -> dict[str, float | None]:
    """Average and 95th percentile (nearest rank); None where nothing ran."""
    ordered = sorted(seconds)
    if not ordered:
        return {"average_seconds": None, "p95_seconds": None}
    rank = math.ceil(_PERCENTILE * len(ordered))
    return {"average_seconds": round(sum(ordered) / len(ordered), 6), "p95_seconds": round(ordered[rank - 1], 6)}


def _times_by_type(runs: Sequence[_Run]) -> dict[str, dict[str, float | None]]:
    by_type: dict[str, list[float]] = defaultdict(list)
    for run in runs:
        by_type[run.job_type].append(run.seconds)
    return {job_type: _times(by_type[job_type]) for job_type in sorted(by_type)}


def _failure_rates(recent: _Recent) -> dict[str, float]:
    completed = Counter(run.job_type for run in recent.completed)
    types = sorted(completed.keys() | recent.died.keys())
    return {kind: recent.died[kind] / (recent.died[kind] + completed[kind]) for kind in types}
