"""What a job made: who may see it, and its file as a download."""

from __future__ import annotations

import mimetypes
from pathlib import PurePosixPath
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied, SuspiciousFileOperation
from django.http import HttpRequest
from django.utils.translation import gettext as _

from django_jobs.admin.base import OwnPages, View, is_system_admin
from django_jobs.conf import output_storage
from django_jobs.downloads import Download
from django_jobs.engine.access import get_policy
from django_jobs.engine.execution import context
from django_jobs.engine.store import database
from django_jobs.models import Job, get_organization_model


def may_read_results(request: HttpRequest, job: Job) -> bool:
    """Return whether this user may see now what the job returned and saved."""
    policy = get_policy()
    if not policy.can_read_output(request.user, job):
        return False
    if is_system_admin(request):
        return True
    tenant = database.rows(get_organization_model()).filter(pk=job.organization_id).first()
    return tenant is not None and policy.is_active(tenant)


class JobOutput(OwnPages):
    """The download behind the link on a job's page."""

    def output_views(self) -> dict[str, tuple[str, View]]:
        """Return the route and the view of the download, by name."""
        return {"output": ("<path:object_id>/output/", self._output)}

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
            text = _("%(job)s has no file, or it is not there any more.") % {"job": job.name}
            self.message_user(request, text, messages.WARNING, extra_tags="no_file")
            return self.go_to(job.pk)
        name = PurePosixPath(job.output_reference).name
        kind, encoding = mimetypes.guess_type(name)
        # The type that was guessed for a compressed file is that of its content.
        kind = "application/octet-stream" if kind is None or encoding else kind
        return Download(file, name, kind)


def _open(job: Job) -> Any:
    """Return the file that ``save_output`` made for this job; None when there is none."""
    if not context.output_belongs_to(job.output_reference, job.organization_id, job.name):
        return None
    try:
        return output_storage().open(job.output_reference)
    except (OSError, SuspiciousFileOperation):
        return None
