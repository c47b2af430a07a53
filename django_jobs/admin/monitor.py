"""The monitor: how the jobs that a user may see are doing, on one page that keeps itself up to date."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import URLPattern, get_script_prefix, path

from django_jobs.admin import batch_notices, breaker_notices, schedule_notices
from django_jobs.admin.base import NobodyWrites, OwnPages, is_system_admin
from django_jobs.admin.capped_counts import CappedCount
from django_jobs.admin.charts import as_table, draw
from django_jobs.admin.charts_small import draw_bars
from django_jobs.admin.monitor_health import WORKERS_SHOWN, read_health, scheduler_words
from django_jobs.admin.monitor_links import Links
from django_jobs.admin.monitor_now import Now, read_now
from django_jobs.admin.monitor_range import RANGES, Range
from django_jobs.admin.monitor_tables import tenant_rows, time_rows, type_rows, worker_rows
from django_jobs.admin.monitor_tiles import make_tiles
from django_jobs.admin.monitor_traffic import read_traffic
from django_jobs.engine.lookup import visible_organizations
from django_jobs.engine.store import database
from django_jobs.models import Monitor

DEFAULT_RANGE: Final = "hour"
#: The colors of the priorities, the most urgent first.
COLORS: Final = {"Critical": "bad", "High": "warn", "Normal": "info", "Low": "neutral"}


class SeesJobs(OwnPages, NobodyWrites):
    """Pages about jobs that everybody sees who may see jobs: system admins, and staff with that permission."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        user: Any = request.user
        return is_system_admin(request) or bool(user.is_active and user.has_perm("django_jobs.view_job"))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)


@admin.register(Monitor)
class MonitorAdmin(SeesJobs):
    """The monitor's page, and the part of it that an open page reads again."""

    def get_urls(self) -> list[URLPattern]:
        show, refresh = (self.admin_site.admin_view(view) for view in (self.changelist_view, self._refresh))
        return [
            path("", show, name="django_jobs_monitor"),
            # The admin's index leads to this name.
            path("", show, name="django_jobs_monitor_changelist"),
            path("live/", refresh, name="django_jobs_monitor_live"),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> TemplateResponse:
        chosen = self._range(request)
        context = self._read(request, chosen) | {
            "live_url": f"{self.url_of('live')}?range={chosen.key}",
            "socket_url": self._socket_url(request),
        }
        return self.page(request, "monitor/page.html", "Monitor", "Monitor", **context)

    def _refresh(self, request: HttpRequest) -> TemplateResponse:
        """Return only the part of the page that changes."""
        context = self._read(request, self._range(request))
        request.current_app = self.admin_site.name  # for the template's own links
        return TemplateResponse(request, "admin/django_jobs/monitor/parts.html", context)

    @staticmethod
    def _range(request: HttpRequest) -> Range:
        return RANGES.get(request.GET.get("range", ""), RANGES[DEFAULT_RANGE])

    @staticmethod
    def _socket_url(request: HttpRequest) -> str:
        """Return the address of the websocket, or "" if the page cannot use it.

        The room of all jobs is for system admins, and needs a channel layer.
        """
        if not getattr(settings, "CHANNEL_LAYERS", None) or not is_system_admin(request):
            return ""
        return f"{'wss' if request.is_secure() else 'ws'}://{request.get_host()}{get_script_prefix()}ws/jobs/"

    def _read(self, request: HttpRequest, chosen: Range) -> dict[str, Any]:
        if not self.has_view_permission(request):
            raise PermissionDenied
        organizations = visible_organizations(None, request.user)
        moment = database.now()
        links = Links(self.admin_site.name)
        now = read_now(organizations, moment)
        traffic = read_traffic(organizations, chosen, moment)
        known = None if is_system_admin(request) else [item.name for item in traffic.types]
        health = read_health(
            moment, is_empty=now.is_empty, waiting=now.waiting.count, running_by=now.running_by, types=known
        )
        return {
            "now": now,
            "traffic": traffic,
            "ranges": [(item.key, item.label, item is chosen) for item in RANGES.values()],
            "tiles": make_tiles(links, now, traffic, health),
            "charts": [
                (chart.title, draw(chart), as_table(chart), chart.series, chart.is_empty) for chart in traffic.charts
            ],
            "depths": _depths(now),
            "times": time_rows(traffic),
            "types": type_rows(request, links, traffic),
            "tenants": tenant_rows(request, links, now.tenants),
            # Hosts and processes are shared by all tenants: they are for those who run the system.
            "is_system_admin": is_system_admin(request),
            "workers": worker_rows(links, health.workers[:WORKERS_SHOWN]) if is_system_admin(request) else [],
            "more_workers": CappedCount(
                count=max(0, len(health.workers) - WORKERS_SHOWN), is_cut=health.has_more_workers
            ),
            "notices": [
                *health.notices,
                *breaker_notices.monitor_notices(moment, known, links),
                *(schedule_notices.monitor_notices(links) if is_system_admin(request) else []),
                *batch_notices.monitor_notices(moment, organizations, links),
            ],
            "scheduler": scheduler_words(health.leader),
            "scheduler_is_alive": health.leader.is_alive,
            "tickets": health.tickets,
        }


def _depths(now: Now) -> Any:
    rows = [
        (str(priority.label), COLORS[str(priority.label)], float(amount.count), str(amount))
        for priority, amount in now.depths
    ]
    return draw_bars("djobs-depths", "Waiting jobs by priority", rows)
