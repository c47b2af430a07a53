"""What an open page asks for while its jobs run: their facts now, and the file that one made."""

from __future__ import annotations

import mimetypes
from pathlib import PurePosixPath
from typing import Any, Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied, SuspiciousFileOperation
from django.http import HttpRequest, HttpResponse, JsonResponse

from django_jobs.admin.base import OwnPages, View, keys_of
from django_jobs.admin.job_columns import live_facts
from django_jobs.admin.job_facts import may_read_results
from django_jobs.admin.job_list import LARGE
from django_jobs.conf import output_storage
from django_jobs.downloads import Download
from django_jobs.engine.execution import outputs
from django_jobs.engine.store import database
from django_jobs.models import Job

MAX_ASKED: Final = 200


class JobLive(OwnPages):
    """Answers for the pages' script, and the download."""

    def live_views(self) -> dict[str, tuple[str, View]]:
        return {"live": ("live/", self._live), "output": ("<path:object_id>/output/", self._output)}

    def _live(self, request: HttpRequest) -> HttpResponse:
        """``{"jobs": {"<key>": {…}}}`` of the asked jobs; those that are gone, or were never there, are missing."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        pks = keys_of(request.GET.get("ids", "").split(","))[:MAX_ASKED]
        now = database.now()
        jobs = self.get_queryset(request).filter(pk__in=pks).defer(*LARGE) if pks else []
        return JsonResponse({"jobs": {str(job.pk): live_facts(job, now) for job in jobs}})

    def _output(self, request: HttpRequest, object_id: str) -> Any:
        if not self.has_view_permission(request):
            raise PermissionDenied
        job = self.find(request, object_id)
        if job is None:
            return self.gone(request, object_id)
        if not may_read_results(request, job):
            raise PermissionDenied
        file = _open(job)
        if file is None:
            self.message_user(request, f"{job.name} has no file, or it is not there any more.", messages.WARNING)
            return self.go_to(job.pk)
        name = PurePosixPath(job.output_reference).name
        kind, encoding = mimetypes.guess_type(name)
        # A packed file is not of the kind that is in it.
        kind = "application/octet-stream" if kind is None or encoding else kind
        return Download(file, name, kind)


def _open(job: Job) -> Any:
    """The file that ``save_output`` made for this job; None when there is none."""
    if not outputs.belongs_to(job.output_reference, job.organization_id, job.name):
        return None
    try:
        return output_storage().open(job.output_reference)
    except (OSError, SuspiciousFileOperation):
        return None
