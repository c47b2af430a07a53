"""Metrics at a bounded cost: how long jobs wait, how they ran, and what happened lately.

The index of the lanes tells since when the job waits that has waited the longest, if it can. The index has
``ready_at``, which is a job's place in its lane. Only tasks with numbers have another moment than that, and with the
usual priority there are none of these.
"""

from __future__ import annotations

import datetime as dt
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from django.db.models import Aggregate, Count, Min, Q, QuerySet, Sum

from django_jobs import pools
from django_jobs.conf import jobs_settings
from django_jobs.engine import timing
from django_jobs.engine.dispatch.window import live_workers
from django_jobs.engine.insight.inspection import jobs, open_breakers
from django_jobs.engine.insight.rollups import MAX_TYPES, activities
from django_jobs.engine.job_types.declared_types import own_retention_days
from django_jobs.engine.job_types.handlers import TASK_PREFIX
from django_jobs.engine.scope import Scope
from django_jobs.engine.store import database, values
from django_jobs.engine.store.counting import capped_counts
from django_jobs.engine.store.database import store
from django_jobs.engine.store.values import COUNTED_AS, Tally, start_of, waits_since
from django_jobs.models import Alert, ExecutionLog, Job, Span
from django_jobs.statuses import (
    AWAITING_RETRY,
    FAILED_FOR_GOOD,
    FINAL,
    IN_FLIGHT,
    WITH_ERRORS,
    Priority,
    Status,
)


def oldest_waiting(rows: QuerySet[Job], priority: int, now: dt.datetime, **counts: Aggregate) -> dict[str, Any]:
    """Return the ``counts`` of jobs that wait with a priority, and as ``since`` when the longest of them became ready.

    That is None where none is due.
    """
    is_due = Q(ready_at__lte=now)
    if priority == Priority.NORMAL:
        return rows.aggregate(since=Min("ready_at", filter=is_due), **counts)
    of_tasks = Count("pk", filter=Q(job_type__type_name__startswith=TASK_PREFIX))
    oldest = rows.aggregate(since=Min("ready_at", filter=is_due), of_tasks=of_tasks, **counts)
    if oldest.pop("of_tasks"):
        oldest |= rows.aggregate(since=Min(waits_since(), filter=is_due))
    return oldest


# What happened within the last minutes, by steps of some seconds: from the newest rows of the Execution Log.
#
# The activity rows know whole minutes. These rows are read where they are few; a busy system has enough in every
# minute.


#: So many of the newest rows are looked at.
NEWEST: Final = 10_000


def read_last_minutes(
    organizations: Collection[Any] | None, since: dt.datetime, seconds: int
) -> Mapping[dt.datetime, Mapping[str, int]] | None:
    """Return what the activity rows would count, by the beginning of each step of so many seconds after ``since``.

    Of these organizations' primary keys; None means all. None comes back where more happened than is looked at.
    """
    log = ExecutionLog.primary.order_by("-pk")
    newest = log.values_list("pk", flat=True).first() or 0
    rows = ExecutionLog.primary.filter(pk__gt=newest - NEWEST)
    oldest = rows.order_by("pk").values_list("timestamp", flat=True).first()
    if oldest is not None and oldest > since and ExecutionLog.primary.filter(pk__lte=newest - NEWEST).exists():
        return None
    rows = rows.filter(Q(from_status="") | Q(to_status__in=sorted(COUNTED_AS)), timestamp__gte=since)
    if organizations is not None:
        rows = rows.filter(organization_id__in=organizations)
    steps: dict[dt.datetime, Counter[str]] = defaultdict(Counter)
    for moment, before, after in rows.values_list("timestamp", "from_status", "to_status"):
        step = since + dt.timedelta(seconds=int((moment - since).total_seconds()) // seconds * seconds)
        steps[step].update(_counted_as(before, after))
    return steps


def _counted_as(before: str, after: str) -> list[str]:
    if not before:
        return ["submitted"]
    return [COUNTED_AS[after], *(["failed"] if (before, after) == FAILED_FOR_GOOD else [])]


# How the jobs ran that ended within the last hour: their times, how many failed, how many a minute.


_PERCENTILE: Final = 0.95


def _read_recent_runs(organizations: list[Any] | None, now: dt.datetime) -> dict[str, Any]:
    """Return the metrics of what ended, from the roll-ups of whole minutes, the last of which is not over."""
    since = start_of(Span.MINUTE, now - timing.METRICS_RECENT)
    sums: dict[str, Tally] = defaultdict(Tally)
    ended = activities(organizations, Span.MINUTE, since).filter(Q(completed__gt=0) | Q(died__gt=0))
    names = ("job_type", "completed", "died", "run_seconds", "run_histogram")
    for item in ended.values_list(*names, named=True):
        sums[item.job_type].add_runs(item)
    total = Tally()
    for tally in sums.values():
        total.add_runs(tally)
    by_type = sorted(sums.items())
    return {
        "processing_time": _times_of(total),
        "processing_time_by_type": {job_type: _times_of(tally) for job_type, tally in by_type if tally.completed},
        "failure_rate_by_type": {job_type: tally.died / (tally.died + tally.completed) for job_type, tally in by_type},
        "throughput_per_minute": total.completed / ((now - since).total_seconds() / 60),
    }


def _times_of(tally: Tally) -> dict[str, float | None]:
    """Average and 95th percentile; None where nothing ran."""
    if not tally.completed:
        return {"average_seconds": None, "p95_seconds": None}
    p95 = values.percentile(tally.run_histogram, _PERCENTILE)
    return {"average_seconds": round(tally.run_seconds / tally.completed, 6), "p95_seconds": p95}


# Counts and times for people and dashboards.
#
# Reading stays as cheap however many jobs there are:
#
# - what waits is counted up to BOUND a priority; what waits for parents, failed or died up to BOUND;
# - of more than BOUND jobs in all, Completed and Canceled are what the roll-ups counted within RETENTION_DAYS or the
#   type's own days, to a day;
# - run times, failure rates and throughput are the roll-ups' of the last hour, to a minute, some seconds late; the 95th
#   percentile is at most 13 % off.


BOUND: Final = 10_000


def get_job_metrics(organization: Any = None, *, user: Any = None) -> dict[str, Any]:
    """Return counts and times of the jobs of an organization, or of all that ``user`` may see.

    Run times, failure rates and throughput are those of the last hour, some seconds late. A failure rate is the share
    of Dead Letters among the jobs that completed or died, from 0 to 1. ``organization`` is an id or an instance.
    ``active_workers`` counts all workers, whoever asks. Raises JobNotFound when the organization does not exist, or the
    user may see nothing of it.
    """
    viewer = Scope(user)
    organizations = viewer.organizations if organization is None else [viewer.organization(organization)]
    scope = jobs() if organizations is None else jobs().filter(organization_id__in=organizations)
    now = database.now()
    backlog = read_backlog(scope, now, BOUND)
    in_flight = _read_in_flight(scope)
    return {
        "job_count_by_status": _counts(backlog, in_flight, _count_rest(scope, organizations, now)),
        "queue_depth_by_priority": _depths(backlog, in_flight),
        **_read_recent_runs(organizations, now),
        "active_workers": len(live_workers()),
        "oldest_waiting_seconds": _oldest(backlog, in_flight, now),
        "timestamp": now,
    }


class Waiting(NamedTuple):
    """Jobs of one status and priority. ``since`` is when the one that waits longest became ready, or None."""

    status: str
    priority: int
    jobs: int
    since: dt.datetime | None


def read_backlog(scope: QuerySet[Job], now: dt.datetime, most: int) -> list[Waiting]:
    """Count what waits to be dispatched, at most so many jobs of each priority, from the index alone.

    It does not tell statuses apart: what waits for a retry counts as Pending.
    """
    backlog = []
    for priority in Priority:
        rows = oldest_waiting(store().first_waiting(scope, priority, most), priority, now, jobs=Count("pk"))
        if rows["jobs"]:
            backlog.append(Waiting(str(Status.PENDING), int(priority), rows["jobs"], rows["since"]))
    return backlog


def _read_in_flight(scope: QuerySet[Job]) -> list[Waiting]:
    rows = scope.filter(status__in=sorted(IN_FLIGHT)).values("status", "priority")
    counted = rows.annotate(count=Count("pk"), since=Min("queued_at"))
    return [Waiting(*row) for row in counted.values_list("status", "priority", "count", "since")]


def _count_rest(scope: QuerySet[Job], organizations: list[Any] | None, now: dt.datetime) -> dict[str, int]:
    """Count all but what is in flight. The backlog counts retries as Pending, so they are subtracted there."""
    statuses = sorted(WITH_ERRORS)
    parts = [scope.order_by("-pk"), scope.filter(status=Status.PENDING, ready_at__isnull=True).order_by()]
    parts += [scope.filter(status=status).order_by() for status in statuses]
    total, blocked, *with_errors = capped_counts(parts, BOUND)
    counts = {str(status): min(count, BOUND) for status, count in zip(statuses, with_errors, strict=True)}
    if total > BOUND:
        ended = _kept_days(organizations, now).aggregate(Completed=Sum("completed"), Canceled=Sum("canceled"))
    else:
        ended = dict(scope.filter(status__in=sorted(FINAL)).order_by().values_list("status").annotate(Count("pk")))
    counts[str(Status.PENDING)] = min(blocked, BOUND) - sum(counts[status] for status in AWAITING_RETRY)
    return counts | {status: count or 0 for status, count in ended.items()}


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


def _counts(backlog: Sequence[Waiting], in_flight: Sequence[Waiting], rest: Mapping[str, int]) -> dict[str, int]:
    counts = Counter(rest)
    for item in [*backlog, *in_flight]:
        counts[item.status] += item.jobs
    return {str(status): max(0, counts[status]) for status in Status}


def _depths(backlog: Sequence[Waiting], in_flight: Sequence[Waiting]) -> dict[str, int]:
    """Return how many jobs wait for a worker, in the backlog or at the broker, by priority."""
    depths: Counter[int] = Counter()
    for item in [*backlog, *in_flight]:
        if item.status != Status.RUNNING:
            depths[item.priority] += item.jobs
    return {priority.word: depths[priority] for priority in sorted(Priority, reverse=True)}


def _oldest(backlog: Sequence[Waiting], in_flight: Sequence[Waiting], now: dt.datetime) -> float | None:
    """Return for how many seconds the longest-waiting due job has waited; None if none waits."""
    since = [item.since for item in [*backlog, *in_flight] if item.status != Status.RUNNING and item.since]
    return max(0.0, (now - min(since)).total_seconds()) if since else None


# What a monitoring system is told of the whole installation at a moment, read by a bounded number of bounded reads.


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """Numbers of one moment. Those of jobs are counted as :mod:`.metrics` says: up to a bound where they are many."""

    jobs: Mapping[str, int]
    backlog: Mapping[str, int]
    oldest_waiting_seconds: float
    #: By pool, and whether they are quiet.
    workers: Mapping[tuple[str, bool], int]
    #: By pool; quiet workers have none.
    slots: Mapping[str, int]
    #: The state of each breaker that holds jobs of its type, and whether of ``all`` organizations or of ``one``.
    breakers: Mapping[str, tuple[str, str]]
    #: How many alarms are open, by rule.
    alerts: Mapping[str, int]
    #: On time.monotonic's clock.
    moment: float = field(default_factory=time.monotonic)

    @property
    def age(self) -> float:
        """Return for how many seconds they have been known."""
        return time.monotonic() - self.moment


def read_gauges() -> Gauges:
    """Return the numbers of now."""
    metrics = get_job_metrics()
    workers, slots = _workers()
    held = open_breakers(most=MAX_TYPES, counts_waiting=False)
    rows = Alert.primary.filter(cleared_at__isnull=True).order_by().values_list("rule")
    return Gauges(
        jobs={status: metrics["job_count_by_status"].get(status, 0) for status in map(str, Status)},
        backlog=metrics["queue_depth_by_priority"],
        oldest_waiting_seconds=metrics["oldest_waiting_seconds"] or 0.0,
        workers=workers,
        slots=slots,
        breakers={
            item.job_type: (item.state.lower().replace(" ", "_"), "one" if item.organization else "all")
            for item in held
        },
        alerts=dict(rows.annotate(count=Count("pk"))),
    )


def _workers() -> tuple[dict[tuple[str, bool], int], dict[str, int]]:
    pool_names = pools.named()
    workers: Counter[tuple[str, bool]] = Counter({(pool, False): 0 for pool in pools.names()})
    slots: Counter[str] = Counter(dict.fromkeys(pools.names(), 0))
    for worker in live_workers():
        for pool in sorted({queue.pool for queue in pools.served_by(worker.queues.split(","), pool_names)}):
            workers[pool, worker.quiet_since is not None] += 1
            slots[pool] += worker.slots if worker.quiet_since is None else 0
    return dict(workers), dict(slots)
