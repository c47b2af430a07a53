"""What an open list asks for while its jobs run: how they stand now."""

from __future__ import annotations

from typing import Final

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse

from django_jobs.admin.base import OwnPages, View, keys_of
from django_jobs.admin.job_columns import live_facts
from django_jobs.admin.job_paging import light
from django_jobs.engine.store import database

#: Keys of jobs that one request may ask for; the others are not looked at.
MAX_ASKED: Final = 200


class JobLive(OwnPages):
    """Answers for ``job_list.js``."""

    def live_views(self) -> dict[str, tuple[str, View]]:
        """Return the route and the view of the answers, by name."""
        return {"live": ("live/", self._live)}

    def _live(self, request: HttpRequest) -> HttpResponse:
        """Return ``{"jobs": {"<key>": {…}}}`` of the asked jobs that are there and that the user may see."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        pks = keys_of(request.GET.get("ids", "").split(","))[:MAX_ASKED]
        site, now = self.admin_site.name, database.now()
        jobs = light(self.get_queryset(request).filter(pk__in=pks)) if pks else []
        return JsonResponse({"jobs": {str(job.pk): live_facts(site, job, now) for job in jobs}})
