"""The monitor: its page and tiles, the health of the system, and counts by pool, type, organization and over time."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from django.contrib import admin
from django.db.models import Count, F, Min, Q, QuerySet, Sum
from django.http import HttpRequest, JsonResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from django_jobs import pools
from django_jobs.admin import bar, batches, operations, reasons
from django_jobs.admin.alarms import panel_of
from django_jobs.admin.bar import RANGES, OpenPages, Range, tenant_name
from django_jobs.admin.charts import Chart, Series, as_table, draw, draw_bars, draw_spark
from django_jobs.admin.pages import Links, Notice, SeesJobs, is_system_admin, socket_url, view
from django_jobs.admin.workers import WorkerLoad, last_tick, read_workers
from django_jobs.admin.writing import CappedCount, brief_duration, format_duration, format_number, format_percent, line
from django_jobs.engine.access import may_start
from django_jobs.engine.alerts.reading import read_alerts
from django_jobs.engine.alerts.rules import TYPE_FAILING
from django_jobs.engine.insight.inspection import Leader, blocked, jobs, open_breakers
from django_jobs.engine.insight.metrics import read_backlog, read_last_minutes
from django_jobs.engine.insight.reasons import LABELS, REASONS, of_all
from django_jobs.engine.insight.rollups import activities
from django_jobs.engine.organizations import id_of
from django_jobs.engine.ports import get_broker
from django_jobs.engine.scope import scope_of
from django_jobs.engine.store import database, values
from django_jobs.engine.store.counting import capped_counts
from django_jobs.engine.store.database import store
from django_jobs.engine.store.values import Tally
from django_jobs.exceptions import BrokerUnavailable
from django_jobs.models import Job, JobType, Monitor, get_organization_model
from django_jobs.statuses import AWAITING_RETRY, IN_FLIGHT, Priority, Status

# The monitor: how the jobs that a user may see are doing, on one page that keeps itself up to date.


DEFAULT_RANGE: Final = "hour"
#: The colors of the priorities, the most urgent first.
COLORS: Final = {
    Priority.CRITICAL: "active",
    Priority.HIGH: "info",
    Priority.NORMAL: "info",
    Priority.LOW: "neutral",
}


@admin.register(Monitor)
class MonitorAdmin(SeesJobs):
    """The monitor's page, and the part of it that an open page reads again."""

    only_own = True

    @view("", "")  # admin:django_jobs_monitor, to which hosts link
    @view("", "changelist")
    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> TemplateResponse:
        chosen = self._range(request)
        context = self._read(request, chosen) | {
            "live_url": f"{self.url_of('live')}?range={chosen.key}",
            # The room of all jobs is for system admins.
            "socket_url": socket_url(request) if is_system_admin(request) else "",
        }
        return self.page(request, "monitor/page.html", capfirst(_("monitor")), capfirst(_("monitor")), **context)

    @view("live/", "live")
    def _refresh(self, request: HttpRequest) -> TemplateResponse:
        """Return only the part of the page that changes."""
        context = self._read(request, self._range(request))
        request.current_app = self.admin_site.name  # for the template's own links
        return TemplateResponse(request, "admin/django_jobs/monitor/parts.html", context)

    @view("navigation/", "navigation", right="")
    def _navigation(self, request: HttpRequest) -> JsonResponse:
        """Return the numbers of the bar, which every page shows to who may see it."""
        return JsonResponse({"entries": bar.live_counts(request)})

    @staticmethod
    def _range(request: HttpRequest) -> Range:
        return RANGES.get(request.GET.get("range", ""), RANGES[DEFAULT_RANGE])

    def _read(self, request: HttpRequest, chosen: Range) -> dict[str, Any]:
        organizations = scope_of(request).organizations
        moment = database.now()
        links = self.links
        now = read_now(organizations, moment)
        traffic = read_traffic(organizations, chosen, moment)
        known = None if is_system_admin(request) else list(traffic.types)
        alarms, held = read_alerts(request.user, now=moment), open_breakers(known, counts_waiting=False)
        if known is not None:  # that another tenant is held is nobody else's business
            held = [item for item in held if item.organization_pk in {None, *(organizations or ())}]
        health = read_health(
            moment,
            alarms.leader,
            is_empty=now.is_empty,
            running_by=now.running_by,
            types=known,
        )
        notices = [
            *health.notices,
            *reasons.monitor_notices(moment, held, links, is_system_admin=known is None),
            *batches.monitor_notices(moment, organizations, links),
        ]
        back = f"{self.url_of('changelist')}?range={chosen.key}"
        failing = {alert.subject for alert in alarms.open if alert.rule == TYPE_FAILING}
        return self._numbers(request, links, now, traffic, health) | {
            "types": type_rows(request, links, traffic, failing, {item.job_type: item.organization for item in held}),
            "under_way": operations.read_under_way(request.user, links),
            "alarms": panel_of(request, self.admin_site.name, alarms, back),
            "notices": [item for item in notices if not item.is_told_by(alert.key for alert in alarms.open)],
        }

    @staticmethod
    def _numbers(request: HttpRequest, links: Links, now: Now, traffic: Traffic, health: Health) -> dict[str, Any]:
        chosen = traffic.range
        return {
            "now": now,
            "traffic": traffic,
            "ranges": [(item.key, item.label, item is chosen) for item in RANGES.values()],
            "tiles": make_tiles(links, now, traffic, health),
            "charts": [(chart, draw(chart), as_table(chart)) for chart in traffic.charts],
            "depths": _depths(now),
            "times": time_rows(traffic.times),
            "tenants": tenant_rows(request, links, now),
            # Hosts and processes are shared by all tenants: they are for those who run the system.
            "is_system_admin": is_system_admin(request),
            "pools": pool_rows(links, now, health) if is_system_admin(request) else [],
            "workers": health.workers[:WORKERS_SHOWN] if is_system_admin(request) else [],
            "more_workers": CappedCount(
                count=max(0, len(health.workers) - WORKERS_SHOWN), is_cut=health.has_more_workers
            ),
            "workers_url": links.list("worker"),
            "scheduler": (health.leader.holder or _("nobody"), last_tick(health.leader)),
            "scheduler_is_alive": health.leader.is_alive,
            "no_worker": REASONS["no_worker"].long,
            "tickets": health.tickets,
        }


def _depths(now: Now) -> Any:
    rows = [
        (str(priority.label), COLORS[priority], float(amount.count), str(amount)) for priority, amount in now.depths
    ]
    return draw_bars("djobs-depths", _("Waiting by priority"), rows)


# The numbers that tell at a glance whether jobs flow, each with a link to what it counts.


class Tile(NamedTuple):
    """A number and what it means, in a word by its ``code``. ``url`` is empty if no list shows what was counted.

    ``note_code`` says in a word what the note tells, where it tells one of several things.
    """

    code: str
    name: Any
    value: Any
    note_code: str = ""
    note: str = ""
    url: str = ""


def make_tiles(links: Links, now: Now, traffic: Traffic, health: Health) -> list[Tile]:
    """Return the tiles, in their order."""
    minutes = traffic.range.length.total_seconds() / 60
    completed = traffic.totals["completed"]
    workers = CappedCount(count=len(health.alive), is_cut=health.has_more_workers)
    rate = _("%(count)s a minute") % {"count": format_number(completed / minutes, 1)}
    running_url = links.jobs(status=Status.RUNNING)
    retrying_url = links.jobs(status=sorted(AWAITING_RETRY))
    dead_url = links.failures(status=Status.DEAD_LETTER)
    failures_url = links.failures() if traffic.failures else ""
    share = format_percent(traffic.failure_rate)
    return [
        Tile("running", _("Running"), format_number(now.running), *_running_note(now, health), running_url),
        Tile("waiting", _("Waiting"), now.waiting, *_waiting_note(now)),
        Tile("retrying", pgettext("jobs", "Retrying"), now.retrying, url=retrying_url),
        Tile("blocked", pgettext("jobs", "Blocked"), now.blocked, note=_("by other jobs")),
        Tile("dead_letters", capfirst(_("dead letters")), now.dead, url=dead_url),
        Tile("completed", Status.COMPLETED.label, format_number(completed), note=rate),
        Tile("failure_rate", _("Failure rate"), share, note=str(traffic.range.label), url=failures_url),
        Tile("workers", capfirst(_("workers")), workers, note=_("alive")),
    ]


def _running_note(now: Now, health: Health) -> tuple[str, str]:
    """Return who runs the running jobs: a code, and words.

    Workers take some short jobs ahead, and the jobs of a dead worker are Running until their leases end.
    """
    elsewhere = health.running_elsewhere(now.running_by)
    if elsewhere:
        return "elsewhere", f"{_('silent')}: {format_number(elsewhere)}"
    code = "more_than_slots" if now.running > health.slots else "slots"
    return code, f"{LABELS['slots']}: {format_number(health.slots)}"


def _waiting_note(now: Now) -> tuple[str, str]:
    if not now.waiting.count:
        return "none", ""
    if now.oldest_seconds is None:
        return "not_due", _("none of them due yet")
    at_least = now.waiting.is_cut
    age = f"{brief_duration(now.oldest_seconds)}{'+' if at_least else ''}"
    return "oldest_at_least" if at_least else "oldest", _("the oldest for %(duration)s") % {"duration": age}


# Whether scheduler, workers and broker are alive, and what the workers run.


#: How many worker processes are shown, with how many of their jobs, of so many that are read. The others are counted.
WORKERS_SHOWN: Final = 20
RUNNING_SHOWN: Final = 5
MAX_RUNNING: Final = 300


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
    workers, has_more = read_workers(
        moment, running_by, telling=WORKERS_SHOWN, jobs_shown=RUNNING_SHOWN, bound=MAX_RUNNING
    )
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


def _read_tickets() -> int | None:
    """Return how many tickets the broker holds; None if it does not answer."""
    try:
        return sum(get_broker().depths().values())
    except BrokerUnavailable:
        return None


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
    backlog, flight = read_backlog(scope, moment, BOUND + 1), _Flight(_read_in_flight(scope))
    counts = Counter({item.priority: item.jobs for item in backlog})
    depths = [
        (
            priority,
            CappedCount(
                count=min(counts[priority], BOUND) + flight.queued_by_priority[priority],
                is_cut=counts[priority] > BOUND,
            ),
        )
        for priority in sorted(Priority, reverse=True)
    ]
    since = [item.since for item in backlog] + flight.queued_since
    oldest = min((item for item in since if item is not None), default=None)
    parts = [
        scope.filter(status__in=sorted(AWAITING_RETRY)),
        blocked() & scope,
        scope.filter(status=Status.DEAD_LETTER),
    ]
    retrying, held, dead = (CappedCount.up_to(BOUND, count) for count in capped_counts(parts, BOUND))
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


def _read_busiest(scope: QuerySet[Job], flight: _Flight) -> Load:
    """Return the organizations with the most running and waiting jobs."""
    rows = store().waiting_in_order(scope).values_list("organization_id")[: BOUND + 1]
    found = [pk for (pk,) in store().read_in_order(rows)]
    backlog = Counter(found) + flight.queued
    load = backlog + flight.running
    busiest = sorted(load, key=lambda pk: (-load[pk], str(pk)))[:MAX_ORGANIZATIONS]
    is_cut = len(found) > BOUND
    return {pk: (CappedCount(count=backlog[pk], is_cut=is_cut), flight.running[pk]) for pk in busiest}


# The monitor's table of pools, for where there are several.


def pool_rows(links: Links, now: Now, health: Health) -> list[dict[str, Any]]:
    """Return the lines of the configured pools, read in two statements; none where there is only the default one.

    ``now`` is that of all organizations. Jobs that wait are due; workers live and serve any of the pool's queues.
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
            {
                "name": name,
                "types": format_number(len(types[name])),
                "types_url": links.list("jobtype", pool=name),
                "waiting": CappedCount.up_to(BOUND, due),
                "queued": _in_flight(now, types[name], Status.QUEUED),
                "running": _in_flight(now, types[name], Status.RUNNING),
                "workers": CappedCount(count=len(slots), is_cut=health.has_more_workers),
                "slots": CappedCount(count=sum(slots), is_cut=health.has_more_workers),
            }
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


# The monitor's tables: what was read, in words, with the addresses of the pages that tell more.


#: Shares that differ by less than this are told as equal.
SAME: Final = 0.005


def time_rows(total: Tally) -> list[tuple[str, str, str, str]]:
    """Return the lines of waiting and running: average, median and 95th percentile."""
    named = [
        (pgettext("how long jobs waited", "Wait"), total.wait_seconds, total.wait_histogram),
        (pgettext("how long jobs ran", "Run"), total.run_seconds, total.run_histogram),
    ]
    rows = []
    for name, seconds, histogram in named:
        count = values.histogram_count(histogram)
        average = brief_duration(seconds / count if count else None)
        median, slow = (brief_duration(values.percentile(histogram, share)) for share in (0.5, 0.95))
        rows.append((name, average, median, slow))
    return rows


def type_rows(
    request: HttpRequest, links: Links, traffic: Traffic, failing: Collection[str], held: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return the lines of the job types: an alarm says of some that they are ``failing``, breakers hold others.

    Of what is ``held`` it is told for which organization alone; blank is for all.
    Only who may see job types gets links to them.
    """
    kinds, pages = JobType.primary.in_bulk(traffic.types), OpenPages(request, links.site)
    rows = []
    for name, (completed, failed, earlier_completed, earlier_failed) in traffic.types.items():
        kind, ended, rate = kinds.get(name), completed + failed, rate_of(completed, failed)
        rows.append(
            {
                "name": line(name, 60),
                "url": pages.job_type(kind),
                "jobs_url": links.jobs(job_type=name),
                "failures_url": links.failures(name) if failed and kind is not None else "",
                "ended": format_number(ended),
                "told": of_all(failed, ended) if failed else format_number(0),
                "rate": format_percent(rate),
                "trend": trend(rate, rate_of(earlier_completed, earlier_failed)),
                "spark": draw_spark(traffic.rates_of(name)) if failed else "",
                "p95": brief_duration(values.percentile(traffic.by_type[name].run_histogram, 0.95)),
                "state": _state(kind, failed, ended, held.get(name), is_failing=name in failing),
            }
        )
    return rows


def trend(now: float | None, earlier: float | None) -> SafeString | str:
    """Return the change of the failure rate since the time before, in words; "" if one of the rates is unknown."""
    if now is None or earlier is None:
        return ""
    if abs(now - earlier) < SAME:
        return _("as before")
    name, arrow = ("worse", "▲") if now > earlier else ("better", "▼")
    # Translators: a rate became better or worse; this is what it was before.
    text = _("from %(rate)s") % {"rate": format_percent(earlier)}
    return format_html('<span class="djobs-{}"><span aria-hidden="true">{}</span> {}</span>', name, arrow, text)


def _state(kind: JobType | None, failed: int, ended: int, held: str | None, *, is_failing: bool) -> SafeString:
    """Return what may start of the type. One that fails, or that its breaker holds, is not called active in green."""
    code, words, name = "active", pgettext("job type", "active"), "completed"
    if failed and failed == ended:
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


def tenant_rows(request: HttpRequest, links: Links, now: Now) -> list[dict[str, Any]]:
    """Return the lines of the organizations. Only who may see organizations gets links to them."""
    tenants = database.rows(get_organization_model()).in_bulk(now.busiest)
    pages = OpenPages(request, links.site).organizations(tenants)
    rows = []
    for pk, (waiting, running) in now.busiest.items():
        tenant, share = tenants.get(pk), running / now.running if now.running else 0.0
        rows.append(
            {
                "name": line(tenant_name(pk, tenant), 60),
                "url": pages.get(pk, ""),
                "jobs_url": "" if tenant is None else links.jobs(organization=id_of(tenant)),
                "is_active": tenant is None or may_start(tenant),
                "waiting": waiting,
                "running": format_number(running),
                "share": share,
                "percent": format_percent(share),
            }
        )
    return rows


# What happened lately, read from the activity rows, so that it costs the same however many jobs there are.


#: Histograms are read of so many rows, the newest first.
MAX_SAMPLES: Final = 3_000
MAX_TYPES: Final = 50
COUNTED: Final = ("submitted", "completed", "failed", "died", "canceled")


@dataclass(slots=True, kw_only=True)
class Traffic:
    """The numbers of a range. With ``is_sampled``, the times are those of the newest MAX_SAMPLES rows alone.

    ``types`` are the busiest ones: how many attempts completed and how many failed, in the range and in the one before.
    """

    range: Range
    totals: Counter[str]
    charts: list[Chart]
    types: Mapping[str, tuple[int, int, int, int]]
    has_more_types: bool
    #: The steps of which times were read, and their sums: all of them, by step and by type.
    moments: Sequence[dt.datetime]
    times: Tally = field(default_factory=Tally)
    by_step: dict[dt.datetime, Tally] = field(default_factory=lambda: defaultdict(Tally))
    by_type: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    #: How many attempts completed and failed, by type and step.
    ends: dict[tuple[str, dt.datetime], tuple[int, int]] = field(default_factory=dict)
    is_sampled: bool = False

    @property
    def failures(self) -> int:
        """Return how many attempts failed."""
        return self.totals["failed"]

    @property
    def failure_rate(self) -> float | None:
        """Return the share of the attempts that failed; None if none ended."""
        return rate_of(self.totals["completed"], self.failures)

    def rates_of(self, name: str) -> list[float | None]:
        """Return the share of a type's attempts that failed, step by step."""
        return [rate_of(*self.ends.get((name, moment), (0, 0))) for moment in self.moments]

    def add_times(self, rows: Sequence[Any]) -> None:
        """Add roll-ups of types."""
        for row in rows:
            completed, failed = self.ends.get((row.job_type, row.starts_at), (0, 0))
            self.ends[row.job_type, row.starts_at] = (completed + row.completed, failed + row.failed)
            self.by_type[row.job_type].add(row)
            self.by_step[row.starts_at].add(row)
        for step in self.by_step.values():
            self.times.add(step)
        self.is_sampled = len(rows) > MAX_SAMPLES


def rate_of(completed: int, failures: int) -> float | None:
    """Return the share of failures among the attempts that ended; None if none did."""
    return failures / (completed + failures) if completed + failures else None


def read_traffic(organizations: Collection[Any] | None, chosen: Range, now: dt.datetime) -> Traffic:
    """Return the numbers of a range, read in three statements, or in five where it has fine steps."""
    slow = chosen.slow or chosen
    types = _read_busiest_types(organizations, chosen, chosen.begins(now))
    totals, charts = _read_counts(organizations, chosen, now)
    found = Traffic(
        range=chosen,
        totals=totals,
        charts=charts,
        types=dict(types[:MAX_TYPES]),
        has_more_types=len(types) > MAX_TYPES,
        moments=slow.moments(now),
    )
    found.add_times(_read_samples(organizations, slow, slow.begins(now)))
    charts.append(_chart_of_times(slow, found))
    return found


def _read_samples(organizations: Collection[Any] | None, chosen: Range, since: dt.datetime) -> list[Any]:
    rows = activities(organizations, chosen.span, since).order_by("-starts_at")
    names = ("starts_at", "job_type", *values.COUNTERS, *values.SUMS, *values.HISTOGRAMS)
    return list(rows.values_list(*names, named=True)[: MAX_SAMPLES + 1])


def _read_busiest_types(
    organizations: Collection[Any] | None, chosen: Range, since: dt.datetime
) -> list[tuple[str, tuple[int, int, int, int]]]:
    """Return the busiest types of this range and of the one before, one more than are shown."""
    rows = activities(organizations, chosen.span, since - chosen.length).order_by().values("job_type")
    is_now = Q(starts_at__gte=since)
    sums: dict[str, Any] = {}
    for when, condition in (("now", is_now), ("then", ~is_now)):
        sums |= {f"{when}_{name}": Sum(name, filter=condition, default=0) for name in ("completed", "failed")}
    busiest = rows.annotate(**sums).order_by((F("now_completed") + F("now_failed")).desc(), "job_type")
    return [(name, tuple(counts)) for name, *counts in busiest.values_list("job_type", *sums)[: MAX_TYPES + 1]]


# The monitor's charts over time.


def _read_counts(
    organizations: Collection[Any] | None, chosen: Range, now: dt.datetime
) -> tuple[Counter[str], list[Chart]]:
    """Return what came and what ended, in all and drawn step by step.

    The steps are fine ones where the range has any and they can be read, and else its own.
    """
    since, seconds = chosen.begins(now), chosen.fine_seconds
    steps = read_last_minutes(organizations, since, seconds) if seconds else None
    if steps is not None:
        by: Any = format_duration(seconds)
        moments, label = chosen.fine_moments(now), chosen.fine_label_of
    else:
        by, moments, label = chosen.steps, chosen.moments(now), chosen.label_of
        rows = activities(organizations, chosen.span, since).order_by().values("starts_at")
        summed = rows.annotate(**{f"sum_{name}": Sum(name) for name in COUNTED})
        steps = {row["starts_at"]: {name: row[f"sum_{name}"] for name in COUNTED} for row in summed}
    totals: Counter[str] = Counter()
    for step in steps.values():
        totals.update(step)

    def series(name: str, words: Any, color: str, **more: Any) -> Series:
        numbers = [float(steps.get(moment, {}).get(name, 0)) for moment in moments]
        return Series(name=str(words), color=color, values=numbers, **more)

    labels = [label(moment) for moment in moments]
    return totals, [
        Chart(
            key="djobs-ended",
            title=_("What came and what ended, %(steps)s") % {"steps": by},
            labels=labels,
            zone=chosen.zone,
            columns=[
                series("completed", Status.COMPLETED.label, "good"),
                series("canceled", Status.CANCELED.label, "neutral"),
            ],
            lines=[series("submitted", capfirst(_("submitted")), "info")],
        ),
        Chart(
            key="djobs-failed",
            title=_("Failures, %(steps)s") % {"steps": by},
            labels=labels,
            zone=chosen.zone,
            columns=[series("failed", _("failed attempts"), "warn")],
            lines=[series("died", _("dead letters"), "bad", is_dashed=True)],
        ),
    ]


def _chart_of_times(chosen: Range, found: Traffic) -> Chart:
    """Return the chart of how long jobs waited and ran, in seconds."""
    steps = [found.by_step[moment] for moment in found.moments]
    waited = [values.percentile(step.wait_histogram, 0.95) for step in steps]
    ran = [values.percentile(step.run_histogram, 0.95) for step in steps]
    return Chart(
        key="djobs-times",
        title=_("How long all but the slowest 5 %% took, %(steps)s") % {"steps": chosen.steps},
        labels=[chosen.label_of(moment) for moment in found.moments],
        zone=chosen.zone,
        lines=[
            Series(name=_("waited"), color="info", values=waited),
            Series(name=_("ran"), color="active", values=ran, is_dashed=True),
        ],
        write=brief_duration,
    )
