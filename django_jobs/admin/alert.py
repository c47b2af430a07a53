"""Alarms: the page of those that are open, and of those that were over within the last day."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _

from django_jobs.admin.alert_panel import panel_of, rows_of_over
from django_jobs.admin.base import SeesJobs
from django_jobs.engine.alerts.reading import read_alerts
from django_jobs.models import Alert


@admin.register(Alert)
class AlertAdmin(SeesJobs):
    """The page of alarms, and the part of it that an open page reads again."""

    def get_urls(self) -> list[URLPattern]:
        views = [("", self.changelist_view, "changelist"), ("live/", self._refresh, "live")]
        return [
            path(route, self.admin_site.admin_view(view), name=f"django_jobs_alert_{name}")
            for route, view, name in views
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> TemplateResponse:
        context = self._read(request)
        return self.page(request, "alerts/page.html", _("Alarms"), _("Alarms"), live_url=self.url_of("live"), **context)

    def _refresh(self, request: HttpRequest) -> TemplateResponse:
        """Return only the parts of the page that change."""
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/django_jobs/alerts/parts.html", self._read(request))

    def _read(self, request: HttpRequest) -> dict[str, Any]:
        if not self.has_view_permission(request):
            raise PermissionDenied
        found, site = read_alerts(request.user, has_over=True), self.admin_site.name
        return {
            "alarms": panel_of(request, site, found, self.url_of("changelist")),
            "over": rows_of_over(request, site, found),
        }
