"""The routes that cancel, retry and delete jobs."""

from __future__ import annotations

from typing import Any, Final

from rest_framework import status
from rest_framework.decorators import action
from rest_framework.response import Response

from django_jobs.api.jobs.base import JobScope
from django_jobs.engine.access import get_policy
from django_jobs.engine.control import audit
from django_jobs.engine.control.acts import cancel_job, retry_job
from django_jobs.engine.control.deletion import delete_jobs
from django_jobs.engine.store import database
from django_jobs.exceptions import InvalidTransition, PermissionDenied
from django_jobs.models import Job
from django_jobs.statuses import TERMINAL, Status
from django_jobs.texts import say

#: What the admin's history says of a job that was deleted over REST.
DELETED: Final = say("Deleted by REST.", code="deleted")


class ControlMixin(JobScope):
    """Cancel, retry or delete a job."""

    @action(detail=True, methods=["post"])
    def cancel(self, request: Any, **kwargs: Any) -> Response:
        """Cancel a job that waits; ask one that runs to stop."""
        self.refuse_fields(request)
        job = cancel_job(self.get_object(), user=request.user)
        done = job.status == Status.CANCELED
        return Response(self.described(job), status=status.HTTP_200_OK if done else status.HTTP_202_ACCEPTED)

    @action(detail=True, methods=["post"])
    def retry(self, request: Any, **kwargs: Any) -> Response:
        """Give a job that failed a new life, with all its retries."""
        self.refuse_fields(request)
        job = retry_job(self.get_object(), user=request.user)
        return Response(self.described(job))

    def destroy(self, request: Any, **kwargs: Any) -> Response:
        """Delete a job that has ended, with its history and files."""
        job = self.get_object()
        if not get_policy().can_delete(request.user, job):
            raise PermissionDenied("Only system admins may delete jobs.")
        if job.status not in TERMINAL:
            raise InvalidTransition(job.name, job.status, "delete")
        if not database.in_transaction(lambda: self._delete(job)):
            reason = "unfinished jobs or other data need it"
            raise InvalidTransition(job.name, job.status, "delete", reason)
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _delete(self, job: Job) -> bool:
        """Delete the job and record who did it; return whether it is gone."""
        is_gone = bool(delete_jobs([job.pk], release_children=True))
        audit.record(self.request.user, [job] if is_gone else [], audit.Act.DELETED, DELETED)
        return is_gone
