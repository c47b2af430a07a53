"""The page of the monitor, and its tiles."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from django.contrib import admin
from django.http import HttpRequest, JsonResponse
from django.template.response import TemplateResponse
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from django_jobs.admin import bar, batches, operations, reasons
from django_jobs.admin.alarms import panel_of
from django_jobs.admin.bar import RANGES, Range
from django_jobs.admin.charts import as_table, draw, draw_bars
from django_jobs.admin.monitor_numbers import (
    WORKERS_SHOWN,
    Health,
    Now,
    Traffic,
    pool_rows,
    read_health,
    read_now,
    read_traffic,
    tenant_rows,
    time_rows,
    type_rows,
)
from django_jobs.admin.pages import Links, SeesJobs, is_system_admin, socket_url, view
from django_jobs.admin.workers import last_tick
from django_jobs.admin.writing import CappedCount, brief_duration, format_number, format_percent
from django_jobs.engine.alerts.reading import read_alerts
from django_jobs.engine.alerts.rules import TYPE_FAILING
from django_jobs.engine.insight.inspection import open_breakers
from django_jobs.engine.insight.reasons import LABELS, REASONS
from django_jobs.engine.scope import scope_of
from django_jobs.engine.store import database
from django_jobs.models import Monitor
from django_jobs.statuses import AWAITING_RETRY, Priority, Status

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
            "socket_url": self._socket_url(request),
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

    @staticmethod
    def _socket_url(request: HttpRequest) -> str:
        """Return the address of the websocket, or "" if the page cannot use it.

        The room of all jobs is for system admins, and needs a channel layer.
        """
        return socket_url(request) if is_system_admin(request) else ""

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
