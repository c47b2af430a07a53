"""What the jobs list tells of operations: which are under way, and how long one would take."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.template.response import TemplateResponse
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy

from django_jobs.admin.base import OwnPages, View, keys_of
from django_jobs.admin.monitor_links import Links
from django_jobs.admin.numbers import format_number
from django_jobs.admin.operation_notices import for_list
from django_jobs.admin.operation_time import time_told
from django_jobs.engine.control import operations
from django_jobs.engine.control.acts import Action
from django_jobs.engine.control.operations import MAX_PER_MINUTE


class JobsUnderWay(OwnPages):
    """The part of the list that tells of operations, and the views that an open page asks."""

    @property
    def links(self) -> Links:
        """Return the addresses of this site's pages."""
        return Links(self.admin_site.name)

    def notice_views(self) -> dict[str, tuple[str, View]]:
        """Return the views that open pages ask, by name."""
        return {"all_time": ("all/time/", self._tell_time), "under_way": ("under-way/", self._tell_under_way)}

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        response = super().changelist_view(request, extra_context)
        context = getattr(response, "context_data", None) or {}
        if "cl" in context:
            context["under_way"] = for_list(request.user, self.links)
        return response

    def _tell_under_way(self, request: HttpRequest) -> HttpResponse:
        """Return the part that tells of operations."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {"under_way": for_list(request.user, self.links)}
        return TemplateResponse(request, "admin/django_jobs/job/under_way.html", context)

    def _tell_time(self, request: HttpRequest) -> HttpResponse:
        """Return how long an operation takes at the rate that somebody types."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        action, count = request.GET.get("action", ""), keys_of([request.GET.get("count", "")])
        if action not in Action.values or not count:
            raise Http404
        try:
            rate = rate_field().clean(request.GET.get("rate", ""))
        except ValidationError as error:
            return JsonResponse({"code": error.error_list[0].code, "text": " ".join(error.messages)})
        code, text = time_told(action, count[0], is_capped="is_capped" in request.GET, rate=rate)
        return JsonResponse({"code": code, "text": text})

    def counted(self, action: str, found: operations.Estimate | None) -> dict[str, Any]:
        """Return how many jobs are meant and how long it takes, for the page that asks; a count of None means none."""
        if found is None:
            return {"count": None}
        code, text = time_told(action, found.count, is_capped=found.count_capped, rate=None)
        query = {"action": action, "count": str(found.count), **({"is_capped": "1"} if found.count_capped else {})}
        return {
            "number": found.count,
            "count": format_number(found.count),
            "is_capped": found.count_capped,
            "time_code": code,
            "time": text,
            "time_url": f"{self.url_of('all_time')}?{urlencode(query)}",
        }


def rate_field() -> forms.IntegerField:
    """Return the field in which somebody types how many jobs a minute are acted on."""
    return forms.IntegerField(
        label=gettext_lazy("Jobs a minute"),
        required=False,
        min_value=1,
        max_value=MAX_PER_MINUTE,
        help_text=gettext_lazy("Blank: as fast as it goes."),
    )
