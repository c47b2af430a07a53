"""What the monitor shows: the health of the system, and counts now, by pool, type and organization, and over time."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.db.models import Count, F, Min, Q, QuerySet, Sum
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from django_jobs import pools
from django_jobs.admin import reasons
from django_jobs.admin.bar import Links, OpenPages, Range
from django_jobs.admin.charts import Chart, Series, draw_spark
from django_jobs.admin.pages import Notice
from django_jobs.admin.writing import NOTHING, CappedCount, brief_duration, format_number, format_percent, line
from django_jobs.engine import timing
from django_jobs.engine.access import may_start
from django_jobs.engine.insight import metrics
from django_jobs.engine.insight.inspection import Leader, blocked, jobs
from django_jobs.engine.insight.metrics import read_last_minutes
from django_jobs.engine.insight.rollups import activities
from django_jobs.engine.ports import get_broker
from django_jobs.engine.store import database, values
from django_jobs.engine.store.database import store
from django_jobs.exceptions import BrokerUnavailable
from django_jobs.models import Job, JobType, Worker, get_organization_model
from django_jobs.statuses import AWAITING_RETRY, IN_FLIGHT, Priority, Status
from django_jobs.texts import listed

# Whether scheduler, workers and broker are alive, and what the workers run.


#: How many worker processes are counted, and how many of them the monitor shows.
MAX_WORKERS: Final = 1_000
WORKERS_SHOWN: Final = 20
#: So many running jobs are read for those that the monitor shows, and for all processes. The others are counted.
MAX_RUNNING: Final = 300
MAX_RUNNING_OF_ALL: Final = 3_000
RUNNING_SHOWN: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLoad:
    """A worker process, the newest few of the jobs that it runs, and how many more it runs."""

    worker: Worker
    is_alive: bool
    seconds_since_beat: float
    jobs: list[Job]
    more: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What is known of the engine's processes.

    ``workers`` are the first MAX_WORKERS. With ``has_more_workers`` there are others, of which nothing is known here.
    """

    workers: list[WorkerLoad]
    has_more_workers: bool
    leader: Leader
    tickets: int | None
    notices: list[Notice]

    @property
    def alive(self) -> list[WorkerLoad]:
        """Return the workers that have been heard of lately."""
        return [item for item in self.workers if item.is_alive]

    @property
    def slots(self) -> int:
        """Return how many jobs the live workers can run at once."""
        return sum(item.worker.slots for item in self.alive)

    def running_elsewhere(self, running_by: Mapping[str, int]) -> int:
        """Return how many of these running jobs, counted by worker, are with workers that are silent or unknown."""
        known = {item.worker.name for item in self.alive}
        return sum(count for name, count in running_by.items() if name not in known)


def read_health(
    moment: dt.datetime,
    found: Leader,
    *,
    is_empty: bool,
    running_by: Mapping[str, int],
    types: Collection[str] | None,
) -> Health:
    """Return the health, read in a constant number of statements and two calls of the broker. ``found`` leads.

    With ``types``, notices are about these job types only, and nothing is told that belongs to no tenant.
    """
    workers, has_more = read_workers(moment, running_by)
    alive = [item.worker for item in workers if item.is_alive]
    tickets = _read_tickets()
    told = [
        *reasons.about_broker(tickets),
        *reasons.about_workers(alive),
        *reasons.about_pools(alive, types),
        *(reasons.about_set_aside() if types is None and tickets is not None else []),
        *reasons.about_charts(is_empty=is_empty),
        *reasons.about_types(types),
    ]
    return Health(workers=workers, has_more_workers=has_more, leader=found, tickets=tickets, notices=told)


def read_workers(
    now: dt.datetime, running_by: Mapping[str, int], jobs_shown: int | None = None
) -> tuple[list[WorkerLoad], bool]:
    """Return the first workers by name, each with the newest jobs that it runs, and whether there are more workers.

    ``running_by`` counts what runs by worker. With ``jobs_shown`` all workers tell so many jobs each; without it the
    first WORKERS_SHOWN tell RUNNING_SHOWN each, and the others none.
    """
    workers = list(Worker.primary.order_by("name")[: MAX_WORKERS + 1])
    running: dict[str, list[Job]] = defaultdict(list)
    telling, most, bound = MAX_WORKERS, jobs_shown, MAX_RUNNING_OF_ALL
    if most is None:
        telling, most, bound = WORKERS_SHOWN, RUNNING_SHOWN, MAX_RUNNING
    shown_names = [worker.name for worker in workers[:telling]]
    rows = jobs().filter(status=Status.RUNNING, worker_name__in=shown_names)
    shown = ("created_at", "started_at", "job_type_id", "worker_name", "organization_name")
    for job in rows.order_by("-pk").only(*shown)[:bound]:
        running[job.worker_name].append(job)
    loads = [_load(item, running[item.name], running_by.get(item.name, 0), now, most) for item in workers[:MAX_WORKERS]]
    return loads, len(workers) > MAX_WORKERS


def _load(worker: Worker, running: list[Job], count: int, now: dt.datetime, most: int) -> WorkerLoad:
    seconds = max(0.0, (now - worker.last_seen).total_seconds())
    return WorkerLoad(
        worker=worker,
        is_alive=seconds <= timing.WORKER_GONE_SECONDS,
        seconds_since_beat=seconds,
        jobs=running[:most],
        more=max(0, max(count, len(running)) - min(len(running), most)),
    )


def _read_tickets() -> int | None:
    """Return how many tickets the broker holds; None if it does not answer."""
    try:
        return sum(get_broker().depths().values())
    except BrokerUnavailable:
        return None


def last_tick(found: Leader) -> str:
    """Return how long ago the scheduler ticked, in words."""
    since = found.seconds_since_tick
    return _("never") if since is None else _("%(duration)s ago") % {"duration": brief_duration(since)}


# What waits and runs now, counted up to a bound.


#: At most so many jobs of one priority are counted, and so many waiting jobs are looked at for their organizations.
BOUND: Final = 10_000
MAX_ORGANIZATIONS: Final = 20


#: By the key of an organization: what it has waiting and running.
Load = dict[Any, tuple[CappedCount, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """The counts of this moment.

    ``blocked`` jobs wait for other jobs and are in no queue. ``depths`` are by priority, the most urgent first.
    ``running_by`` counts what runs by worker, and ``in_flight`` what is queued or runs by job type and status. If
    ``waiting`` was cut, ``oldest_seconds`` is a lower bound. ``busiest`` are the organizations with the most jobs.
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
    busiest: Load
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
        busiest=_read_busiest(scope, flight),
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
    return CappedCount.up_to(BOUND, rows[: BOUND + 1].count())


def _read_busiest(scope: QuerySet[Job], flight: _Flight) -> Load:
    """Return the organizations with the most running and waiting jobs."""
    rows = store().waiting_in_order(scope).values_list("organization_id")[: BOUND + 1]
    found = [pk for (pk,) in store().read_in_order(rows)]
    backlog = Counter(found) + flight.queued
    load = backlog + flight.running
    busiest = sorted(load, key=lambda pk: (-load[pk], str(pk)))[:MAX_ORGANIZATIONS]
    is_cut = len(found) > BOUND
    return {pk: (CappedCount(count=backlog[pk], is_cut=is_cut), flight.running[pk]) for pk in busiest}


# The monitor's table of pools, and which of them a worker serves. Both are for where there are several pools.


#: What a worker serves is shown up to so many characters; a tooltip has the rest.
MOST_SERVED: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRow:
    """One pool's line. ``waiting`` jobs are due; ``workers`` are those that live and serve any of the pool's queues."""

    name: str
    types: str
    types_url: str
    waiting: CappedCount
    queued: str
    running: str
    workers: CappedCount
    slots: CappedCount


def pool_rows(links: Links, now: Now, health: Health) -> list[PoolRow]:
    """Return the lines of the configured pools, read in two statements; none where there is only the default one.

    ``now`` is that of all organizations.
    """
    if not pools.configured():
        return []
    types = _read_types()
    names = pools.names()
    counts = store().count_waiting([types[name] for name in names], BOUND + 1)
    served = [(set(item.worker.queues.split(",")), item.worker.slots) for item in health.alive]
    rows = []
    for name, due in zip(names, counts, strict=True):
        queues = pools.queue_names(name)
        slots = [count for own, count in served if not own.isdisjoint(queues)]
        rows.append(
            PoolRow(
                name=name,
                types=format_number(len(types[name])),
                types_url=links.list("jobtype", pool=name),
                waiting=CappedCount.up_to(BOUND, due),
                queued=_in_flight(now, types[name], Status.QUEUED),
                running=_in_flight(now, types[name], Status.RUNNING),
                workers=CappedCount(count=len(slots), is_cut=health.has_more_workers),
                slots=CappedCount(count=sum(slots), is_cut=health.has_more_workers),
            )
        )
    return rows


def _read_types() -> Mapping[str, list[str]]:
    """Return the names of the job types by pool."""
    found: dict[str, list[str]] = defaultdict(list)
    for name, pool in JobType.primary.order_by("pk").values_list("pk", "pool"):
        found[pool].append(name)
    return found


def _in_flight(now: Now, types: Collection[str], status: Status) -> str:
    return format_number(sum(now.in_flight[name, status] for name in types))


def served_in_words(queues: str) -> SafeString | str:
    """Return which pools a worker with these queues serves, such as ``default, gpu (Critical, High)``.

    A pool of which it serves some queues only is told with their priorities, a queue of no configured pool by its name.
    """
    names = [name for name in queues.split(",") if name]
    words = []
    for pool in pools.names():
        own = pools.queues_of(pool)
        labels = [label for label, name in own.items() if name in names]
        if labels:
            words.append(pool if len(labels) == len(own) else f"{pool} ({listed(labels)})")
    known = pools.queue_names()
    return line(listed([*words, *(name for name in names if name not in known)]), MOST_SERVED)


# The monitor's tables: what was read, in words, with the addresses of the pages that tell more.


#: Shares that differ by less than this are told as equal.
SAME: Final = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeRow:
    """One job type's line."""

    name: Any
    url: str
    jobs_url: str
    failures_url: str
    ended: str
    failures: str
    #: The failures in words, such as ``863 of 863 failed``.
    told: str
    rate: str
    trend: Any
    spark: Any
    p95: str
    state: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantRow:
    """One organization's line."""

    name: Any
    url: str
    jobs_url: str
    is_active: bool
    waiting: Any
    running: str
    share: float
    percent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRow:
    """One worker process. Each job has its id, the address of its page, its type, and for how long it has run."""

    name: Any
    pid: int
    slots: int
    serves: Any
    memory: str
    beat: str
    is_alive: bool
    is_quiet: bool
    jobs: list[tuple[str, str, Any, str]]
    more: int


def duration(seconds: float | None) -> str:
    """Return a number of seconds for people; a dash for None."""
    return NOTHING if seconds is None else brief_duration(seconds)


def percent(share: float | None) -> str:
    """Return a share as a percentage; a dash for None."""
    return NOTHING if share is None else format_percent(share)


def time_rows(traffic: Traffic) -> list[tuple[str, str, str, str]]:
    """Return the lines of waiting and running: average, median and 95th percentile."""
    named: list[tuple[str, Times]] = [
        (pgettext("how long jobs waited", "Wait"), traffic.wait),
        (pgettext("how long jobs ran", "Run"), traffic.run),
    ]
    return [
        (name, duration(times.average), duration(times.percentile(0.5)), duration(times.percentile(0.95)))
        for name, times in named
    ]


def type_rows(
    request: HttpRequest, links: Links, traffic: Traffic, failing: Collection[str], held: Mapping[str, str]
) -> list[TypeRow]:
    """Return the lines of the job types: an alarm says of some that they are ``failing``, breakers hold others.

    Of what is ``held`` it is told for which organization alone; blank is for all.
    Only who may see job types gets links to them.
    """
    names = [item.name for item in traffic.types]
    kinds, pages = JobType.primary.in_bulk(names), OpenPages(request, links.site)
    return [
        _type_row(pages, item, kinds.get(item.name), held.get(item.name), is_failing=item.name in failing)
        for item in traffic.types
    ]


def _type_row(
    pages: OpenPages, item: TypeTraffic, kind: JobType | None, held: str | None, *, is_failing: bool
) -> TypeRow:
    links = pages.links
    return TypeRow(
        name=line(item.name, 60),
        url=pages.job_type(kind),
        jobs_url=links.jobs(type=item.name),
        failures_url=links.failures(item.name) if item.failures and kind is not None else "",
        ended=format_number(item.ended),
        failures=format_number(item.failures),
        told=_failures_in_words(item),
        rate=percent(item.failure_rate),
        trend=trend(item.failure_rate, item.earlier_rate),
        spark=draw_spark(item.rates) if item.failures else "",
        p95=duration(item.run.percentile(0.95)),
        state=_state(kind, item, held, is_failing=is_failing),
    )


def trend(now: float | None, earlier: float | None) -> SafeString | str:
    """Return the change of the failure rate since the time before, in words; "" if one of the rates is unknown."""
    if now is None or earlier is None:
        return ""
    if abs(now - earlier) < SAME:
        return _("as before")
    name, arrow = ("worse", "▲") if now > earlier else ("better", "▼")
    # Translators: a rate became better or worse; this is what it was before.
    text = _("from %(rate)s") % {"rate": percent(earlier)}
    return format_html('<span class="djobs-{}"><span aria-hidden="true">{}</span> {}</span>', name, arrow, text)


def _failures_in_words(item: TypeTraffic) -> str:
    """Return how many attempts failed, of how many; 0 if none did."""
    if not item.failures:
        return format_number(0)
    text = ngettext("%(failed)s of %(ended)s failed", "%(failed)s of %(ended)s failed", item.failures)
    return text % {"failed": format_number(item.failures), "ended": format_number(item.ended)}


def _state(kind: JobType | None, item: TypeTraffic, held: str | None, *, is_failing: bool) -> SafeString:
    """Return what may start of the type. One that fails, or that its breaker holds, is not called active in green."""
    code, words, name = "active", pgettext("job type", "active"), "completed"
    if item.failures and item.failures == item.ended:
        code, words, name = "all_fail", _("all fail"), "failed"
    elif is_failing:
        code, words, name = "failing", pgettext("job type", "failing"), "failed"
    if held is not None:
        code, words, name = "held", _("held by its breaker"), "failed"
    if held:
        words = _("held for %(organization)s alone") % {"organization": line(held, 60)}
    if kind is None:
        code, words, name = "deleted", _("deleted"), "canceled"
    elif not kind.is_enabled:
        code, words, name = "disabled", _("disabled"), "canceled"
    elif kind.is_paused:
        code, words, name = "paused", _("paused"), "timed-out"
    return format_html('<span class="djobs-badge djobs-{}" data-code="{}">{}</span>', name, code, words)


def tenant_rows(request: HttpRequest, links: Links, now: Now) -> list[TenantRow]:
    """Return the lines of the organizations. Only who may see organizations gets links to them."""
    tenants = database.rows(get_organization_model()).in_bulk(now.busiest)
    pages = OpenPages(request, links.site).organizations(tenants)
    rows = []
    for pk, (waiting, running) in now.busiest.items():
        tenant, share = tenants.get(pk), running / now.running if now.running else 0.0
        name = _("%(organization)s, which is gone") % {"organization": pk} if tenant is None else str(tenant)
        rows.append(
            TenantRow(
                name=line(name, 60),
                url=pages.get(pk, ""),
                jobs_url="" if tenant is None else links.jobs(organization=pk),
                is_active=tenant is None or may_start(tenant),
                waiting=waiting,
                running=format_number(running),
                share=share,
                percent=percent(share),
            )
        )
    return rows


def process_rows(links: Links, loads: Iterable[WorkerLoad], now: dt.datetime) -> list[ProcessRow]:
    """Return the lines of worker processes."""
    return [
        ProcessRow(
            name=line(load.worker.name, 60),
            pid=load.worker.pid,
            slots=load.worker.slots,
            serves=served_in_words(load.worker.queues),
            memory=megabytes(load.worker.memory),
            beat=brief_duration(load.seconds_since_beat),
            is_alive=load.is_alive,
            is_quiet=load.worker.quiet_since is not None,
            jobs=[
                (
                    job.name,
                    links.change("job", job.pk),
                    line(job.job_type_id, 40),
                    brief_duration((now - job.started_at).total_seconds()) if job.started_at else "",
                )
                for job in load.jobs
            ],
            more=load.more,
        )
        for load in loads
    ]


def megabytes(memory: int | None) -> str:
    """Return an amount of memory for people; empty where it is not known."""
    return _("%(megabytes)d MB") % {"megabytes": memory} if memory else ""


# What happened lately, read from the activity rows, so that it costs the same however many jobs there are.


#: Histograms are read of so many rows, the newest first.
MAX_SAMPLES: Final = 3_000
MAX_TYPES: Final = 50
ENDS: Final = ("completed", "failed", "died", "canceled")


@dataclass(slots=True)
class Times:
    """Durations, added up."""

    seconds: float = 0.0
    histogram: dict[str, int] = field(default_factory=dict)

    def add(self, seconds: float, histogram: dict[str, int]) -> None:
        """Add the durations of one row: their sum in seconds, and their histogram."""
        self.seconds += seconds
        values.merge_histograms(self.histogram, histogram)

    @property
    def average(self) -> float | None:
        """Return the mean in seconds; None if there are no durations."""
        count = values.histogram_count(self.histogram)
        return self.seconds / count if count else None

    def percentile(self, share: float) -> float | None:
        """Return the duration in seconds below which this share of all lies; None if there are no durations."""
        return values.percentile(self.histogram, share)


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeTraffic:
    """A type's attempts in the range.

    ``failure_rate`` is the share of those that failed, ``earlier_rate`` the same in the range before, and ``rates`` the
    same for each step.
    """

    name: str
    ended: int
    failures: int
    failure_rate: float | None
    earlier_rate: float | None
    run: Times
    rates: list[float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """The numbers of a range. With ``is_sampled``, the times are those of the newest MAX_SAMPLES rows alone."""

    range: Range
    totals: dict[str, int]
    charts: list[Chart]
    run: Times
    wait: Times
    types: list[TypeTraffic]
    has_more_types: bool
    is_sampled: bool

    @property
    def failures(self) -> int:
        """Return how many attempts failed."""
        return self.totals["failed"]

    @property
    def failure_rate(self) -> float | None:
        """Return the share of the attempts that failed; None if none ended."""
        return rate_of(self.totals["completed"], self.failures)


def rate_of(completed: int, failures: int) -> float | None:
    """Return the share of failures among the attempts that ended; None if none did."""
    return failures / (completed + failures) if completed + failures else None


def read_traffic(organizations: Collection[Any] | None, chosen: Range, now: dt.datetime) -> Traffic:
    """Return the numbers of a range, read in three statements, or in five where it has fine steps."""
    since = chosen.begins(now)
    slow = chosen.slow or chosen
    samples = _read_samples(organizations, slow, slow.begins(now))
    by_type, has_more = _read_busiest_types(organizations, chosen, since)
    counts = _read_counts(organizations, chosen, now)
    times, moments = _Times(samples), slow.moments(now)
    return Traffic(
        range=chosen,
        totals={name: sum(step.get(name, 0) for step in counts.steps.values()) for name in (*ENDS, "submitted")},
        charts=[
            *charts_of_counts(counts.labels, counts.moments, counts.steps, counts.by, chosen.zone),
            chart_of_times(slow, moments, _slow(times.wait_by_step, moments), _slow(times.run_by_step, moments)),
        ],
        run=times.run,
        wait=times.wait,
        types=[_type_traffic(row, times, moments) for row in by_type],
        has_more_types=has_more,
        is_sampled=len(samples) > MAX_SAMPLES,
    )


@dataclass(frozen=True, slots=True)
class _Counts:
    """What came and ended, by the beginning of each step; ``by`` says how long a step is."""

    labels: Sequence[str]
    moments: Sequence[dt.datetime]
    steps: Steps
    by: str | Promise


def _read_counts(organizations: Collection[Any] | None, chosen: Range, now: dt.datetime) -> _Counts:
    """Return the counts by fine steps where the range has any and they can be read, and else by its own."""
    since, seconds = chosen.begins(now), chosen.fine_seconds
    fine = read_last_minutes(organizations, since, seconds) if seconds else None
    if fine is not None:
        by = ngettext("by the second", "by %(count)d seconds", seconds) % {"count": seconds}
        moments = chosen.fine_moments(now)
        return _Counts([chosen.fine_label_of(moment) for moment in moments], moments, fine, by)
    moments = chosen.moments(now)
    labels = [chosen.label_of(moment) for moment in moments]
    return _Counts(labels, moments, _read_steps(organizations, chosen, since), chosen.steps)


def _read_steps(
    organizations: Collection[Any] | None, chosen: Range, since: dt.datetime
) -> dict[dt.datetime, dict[str, int]]:
    sums = {f"sum_{name}": Sum(name) for name in (*ENDS, "submitted")}
    rows = activities(organizations, chosen.span, since).order_by().values("starts_at").annotate(**sums)
    return {row["starts_at"]: {name: row[f"sum_{name}"] for name in (*ENDS, "submitted")} for row in rows}


def _read_busiest_types(
    organizations: Collection[Any] | None, chosen: Range, since: dt.datetime
) -> tuple[list[dict[str, Any]], bool]:
    """Return the busiest types of this range and of the one before, and whether there are more."""
    rows = activities(organizations, chosen.span, since - chosen.length).order_by().values("job_type")
    is_now = Q(starts_at__gte=since)
    sums: dict[str, Any] = {}
    for name in ("completed", "failed"):
        sums |= {f"now_{name}": Sum(name, filter=is_now, default=0)}
        sums |= {f"then_{name}": Sum(name, filter=~is_now, default=0)}
    found = list(
        rows.annotate(**sums).order_by((F("now_completed") + F("now_failed")).desc(), "job_type")[: MAX_TYPES + 1]
    )
    return found[:MAX_TYPES], len(found) > MAX_TYPES


_SAMPLED: Final = (
    "starts_at",
    "job_type",
    "completed",
    "failed",
    "run_seconds",
    "run_histogram",
    "wait_seconds",
    "wait_histogram",
)


def _read_samples(organizations: Collection[Any] | None, chosen: Range, since: dt.datetime) -> list[tuple[Any, ...]]:
    rows = activities(organizations, chosen.span, since).order_by("-starts_at")
    return list(rows.values_list(*_SAMPLED)[: MAX_SAMPLES + 1])


class _Times:
    """The samples, added up in the ways that the page needs."""

    def __init__(self, samples: Sequence[tuple[Any, ...]]) -> None:
        self.run_by_type: dict[str, Times] = defaultdict(Times)
        self.run_by_step: dict[dt.datetime, Times] = defaultdict(Times)
        self.wait_by_step: dict[dt.datetime, Times] = defaultdict(Times)
        self.ends: dict[tuple[str, dt.datetime], tuple[int, int]] = {}
        for moment, kind, completed, failed, run_seconds, run, wait_seconds, wait in samples:
            earlier = self.ends.get((kind, moment), (0, 0))
            self.ends[kind, moment] = (earlier[0] + completed, earlier[1] + failed)
            self.run_by_type[kind].add(run_seconds, run)
            self.run_by_step[moment].add(run_seconds, run)
            self.wait_by_step[moment].add(wait_seconds, wait)
        self.run, self.wait = _total(self.run_by_step), _total(self.wait_by_step)


def _slow(parts: dict[dt.datetime, Times], moments: Sequence[dt.datetime]) -> list[float | None]:
    """Return the 95th percentile of each step."""
    return [parts[moment].percentile(0.95) if moment in parts else None for moment in moments]


def _total(parts: dict[dt.datetime, Times]) -> Times:
    total = Times()
    for part in parts.values():
        total.add(part.seconds, part.histogram)
    return total


def _type_traffic(row: dict[str, Any], times: _Times, moments: Sequence[dt.datetime]) -> TypeTraffic:
    name = row["job_type"]
    failures = row["now_failed"]
    return TypeTraffic(
        name=name,
        ended=row["now_completed"] + failures,
        failures=failures,
        failure_rate=rate_of(row["now_completed"], failures),
        earlier_rate=rate_of(row["then_completed"], row["then_failed"]),
        run=times.run_by_type[name],
        rates=[rate_of(*times.ends.get((name, moment), (0, 0))) for moment in moments],
    )


# The monitor's charts over time.


Values = Sequence[float | None]
Steps = Mapping[dt.datetime, Mapping[str, int]]


def charts_of_counts(
    labels: Sequence[str], moments: Sequence[dt.datetime], steps: Steps, by: str | Promise, zone: str
) -> list[Chart]:
    """Return the chart of what came and what ended, and that of failures.

    ``by`` says how long a step is, and ``zone`` in which time zone the labels are.
    """

    def values(name: str) -> list[float | None]:
        return [float(steps.get(moment, {}).get(name, 0)) for moment in moments]

    return [
        Chart(
            key="djobs-ended",
            title=_("What came and what ended, %(steps)s") % {"steps": by},
            labels=labels,
            zone=zone,
            empty=_("Nothing came or ended in this time."),
            columns=[
                Series(name=_("completed"), color="good", values=values("completed")),
                Series(name=_("canceled"), color="neutral", values=values("canceled")),
            ],
            lines=[Series(name=_("submitted"), color="info", values=values("submitted"))],
        ),
        Chart(
            key="djobs-failed",
            title=_("Failures, %(steps)s") % {"steps": by},
            labels=labels,
            zone=zone,
            empty=_("Nothing failed in this time."),
            columns=[Series(name=_("failed attempts"), color="warn", values=values("failed"))],
            lines=[Series(name=_("dead letters"), color="bad", values=values("died"), is_dashed=True)],
        ),
    ]


def chart_of_times(chosen: Range, moments: Sequence[dt.datetime], waited: Values, ran: Values) -> Chart:
    """Return the chart of how long jobs waited and ran, in seconds."""
    return Chart(
        key="djobs-times",
        title=_("How long all but the slowest 5 %% took, %(steps)s") % {"steps": chosen.steps},
        labels=[chosen.label_of(moment) for moment in moments],
        zone=chosen.zone,
        empty=_("Nothing ran in this time."),
        lines=[
            Series(name=_("waited"), color="info", values=waited),
            Series(name=_("ran"), color="active", values=ran, is_dashed=True),
        ],
        write=brief_duration,
    )
