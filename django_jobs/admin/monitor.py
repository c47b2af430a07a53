"""The monitor: how the jobs that a user may see are doing, on one page that keeps itself up to date."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, JsonResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _

from django_jobs.admin import batch_notices, breaker_notices, navigation, operation_notices
from django_jobs.admin.alert_panel import panel_of
from django_jobs.admin.base import SeesJobs, is_system_admin
from django_jobs.admin.capped_counts import CappedCount
from django_jobs.admin.chart_drawing import draw
from django_jobs.admin.charts import as_table
from django_jobs.admin.charts_small import draw_bars
from django_jobs.admin.live_socket import socket_url
from django_jobs.admin.monitor_health import WORKERS_SHOWN, Health, read_health, scheduler_words
from django_jobs.admin.monitor_links import Links
from django_jobs.admin.monitor_now import Now, read_now
from django_jobs.admin.monitor_pools import pool_rows
from django_jobs.admin.monitor_range import RANGES, Range
from django_jobs.admin.monitor_tables import tenant_rows, time_rows, type_rows, worker_rows
from django_jobs.admin.monitor_tiles import make_tiles
from django_jobs.admin.monitor_traffic import Traffic, read_traffic
from django_jobs.engine.access import visible_organizations
from django_jobs.engine.alerts.reading import read_alerts
from django_jobs.engine.alerts.rules import TYPE_FAILING
from django_jobs.engine.insight.inspection import open_breakers
from django_jobs.engine.store import database
from django_jobs.models import Monitor
from django_jobs.statuses import Priority

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

    def get_urls(self) -> list[URLPattern]:
        views = (self.changelist_view, self._refresh, self._navigation)
        show, refresh, numbers = (self.admin_site.admin_view(view) for view in views)
        return [
            path("", show, name="django_jobs_monitor"),
            # The admin's index leads to this name.
            path("", show, name="django_jobs_monitor_changelist"),
            path("live/", refresh, name="django_jobs_monitor_live"),
            path("navigation/", numbers, name=navigation.LIVE),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> TemplateResponse:
        chosen = self._range(request)
        context = self._read(request, chosen) | {
            "live_url": f"{self.url_of('live')}?range={chosen.key}",
            "socket_url": self._socket_url(request),
        }
        return self.page(request, "monitor/page.html", _("Monitor"), _("Monitor"), **context)

    def _refresh(self, request: HttpRequest) -> TemplateResponse:
        """Return only the part of the page that changes."""
        context = self._read(request, self._range(request))
        request.current_app = self.admin_site.name  # for the template's own links
        return TemplateResponse(request, "admin/django_jobs/monitor/parts.html", context)

    @staticmethod
    def _navigation(request: HttpRequest) -> JsonResponse:
        """Return the numbers of the bar, which every page shows to who may see it."""
        return JsonResponse({"entries": navigation.live_counts(request)})

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
        if not self.has_view_permission(request):
            raise PermissionDenied
        organizations = visible_organizations(None, request.user)
        moment = database.now()
        links = Links(self.admin_site.name)
        now = read_now(organizations, moment)
        traffic = read_traffic(organizations, chosen, moment)
        known = None if is_system_admin(request) else [item.name for item in traffic.types]
        alarms, held = read_alerts(request.user, now=moment), open_breakers(known, counts_waiting=False)
        if known is not None:  # that another tenant is held is nobody else's business
            held = [item for item in held if item.organization_pk in {None, *(organizations or ())}]
        health = read_health(
            moment,
            alarms.leader,
            is_empty=now.is_empty,
            waiting=now.waiting.count,
            running_by=now.running_by,
            types=known,
        )
        notices = [
            *health.notices,
            *breaker_notices.monitor_notices(moment, held, links, is_system_admin=known is None),
            *batch_notices.monitor_notices(moment, organizations, links),
            *operation_notices.monitor_notices(request.user, links),
        ]
        back = f"{self.url_of('changelist')}?range={chosen.key}"
        failing = {alert.subject for alert in alarms.open if alert.rule == TYPE_FAILING}
        return self._numbers(request, links, now, traffic, health) | {
            "types": type_rows(request, links, traffic, failing, {item.job_type: item.organization for item in held}),
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
            "charts": [
                (
                    chart.title,
                    draw(chart),
                    as_table(chart),
                    chart.series,
                    chart.zone,
                    chart.empty if chart.is_empty else "",
                )
                for chart in traffic.charts
            ],
            "depths": _depths(now),
            "times": time_rows(traffic),
            "tenants": tenant_rows(request, links, now.tenants),
            # Hosts and processes are shared by all tenants: they are for those who run the system.
            "is_system_admin": is_system_admin(request),
            "pools": pool_rows(links, now, health) if is_system_admin(request) else [],
            "workers": worker_rows(links, health.workers[:WORKERS_SHOWN]) if is_system_admin(request) else [],
            "more_workers": CappedCount(
                count=max(0, len(health.workers) - WORKERS_SHOWN), is_cut=health.has_more_workers
            ),
            "workers_url": links.workers(),
            "scheduler": scheduler_words(health.leader),
            "scheduler_is_alive": health.leader.is_alive,
            "tickets": health.tickets,
        }


def _depths(now: Now) -> Any:
    rows = [
        (str(priority.label), COLORS[priority], float(amount.count), str(amount)) for priority, amount in now.depths
    ]
    return draw_bars("djobs-depths", _("Waiting jobs by priority"), rows)
