"""The page of workers: what each runs, and the buttons that order their supervisors to be quiet, resume or stop."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobs.admin import navigation_counts
from django_jobs.admin.base import SeesJobs, View, is_system_admin
from django_jobs.admin.monitor_links import Links
from django_jobs.admin.worker_rows import news_of, read_fleet
from django_jobs.engine.control import switches
from django_jobs.engine.control.switches import Order
from django_jobs.engine.store import database
from django_jobs.models import Worker

#: What is said once an order was given.
GIVEN: Final = {
    Order.QUIET: gettext_lazy("%(worker)s was ordered to take no new jobs. It obeys within some seconds."),
    Order.RESUME: gettext_lazy("%(worker)s was ordered to take jobs again. It obeys within some seconds."),
    Order.STOP: gettext_lazy("%(worker)s was ordered to stop. It obeys within some seconds."),
}


@admin.register(Worker)
class WorkerAdmin(SeesJobs):
    """The list of supervisors with their processes, and the views that order them. For system admins alone."""

    ordering = ("name",)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Hosts and processes are shared by all tenants: they are for those who run the system.
        return is_system_admin(request)

    def get_urls(self) -> list[URLPattern]:
        views: list[tuple[str, View, str]] = [
            ("", self.changelist_view, "changelist"),
            ("<str:supervisor>/stop/", self._stop, "stop"),
            ("<str:supervisor>/<str:verb>/", self._order, "order"),
        ]
        return [
            path(route, self.admin_site.admin_view(view), name=f"django_jobs_worker_{name}")
            for route, view, name in views
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        fleet = read_fleet(Links(self.admin_site.name), database.now())
        title = _("Workers")
        return self.page(request, "worker/list.html", title, title, fleet=fleet, news=news_of(fleet))

    def _order(self, request: HttpRequest, supervisor: str, verb: str) -> HttpResponse:
        """Give an order that can be taken back."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method != "POST" or verb not in {Order.QUIET, Order.RESUME}:
            return HttpResponseNotAllowed(["POST"])
        return self._give(request, supervisor, Order(verb))

    def _stop(self, request: HttpRequest, supervisor: str) -> HttpResponse:
        """Ask whether to stop it, and then do."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            return self._give(request, supervisor, Order.STOP)
        fleet = read_fleet(Links(self.admin_site.name), database.now())
        row = next((item for item in fleet.supervisors if item.key == supervisor), None)
        if row is None:
            return self._gone(request)
        title = _("Stop %(worker)s?") % {"worker": row.title}
        return self.page(request, "worker/stop.html", title, row.title, parent=_("Workers"), row=row)

    def _give(self, request: HttpRequest, supervisor: str, order: Order) -> HttpResponse:
        given = switches.give_order(supervisor, order, request.user)
        if given is None:
            return self._gone(request)
        database.once_on_commit(navigation_counts.forget)
        self.message_user(request, GIVEN[order] % {"worker": given}, extra_tags=f"{order}_ordered")
        return HttpResponseRedirect(self.url_of("changelist"))

    def _gone(self, request: HttpRequest) -> HttpResponse:
        text = _(
            "This worker has left, or is silent by now: nothing was ordered. Another one may have taken its place."
        )
        self.message_user(request, text, messages.WARNING, extra_tags="gone")
        return HttpResponseRedirect(self.url_of("changelist"))
