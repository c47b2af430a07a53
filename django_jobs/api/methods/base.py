"""What the method endpoints have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework.exceptions import ValidationError
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

from django_jobs.api.base import JobsView
from django_jobs.api.fields import refuse_unknown
from django_jobs.api.methods.arguments import arguments_of
from django_jobs.api.methods.errors import answer
from django_jobs.api.scope import jobs_seen_by
from django_jobs.engine.access import find_among
from django_jobs.models import Job
from django_jobs.models.job import JobQuerySet
from django_jobs.texts import say


class MethodView(JobsView):
    """One call by POST, answered with ``{"message": …}``. It takes JSON, or the fields of a form or of the query."""

    throttle: str
    fields: tuple[str, ...] = ("job_id",)
    renderer_classes = [JSONRenderer]

    def call(self, fields: dict[str, Any], user: Any) -> Any:
        """Do what the method is for, and return the message of the answer."""
        raise NotImplementedError

    def post(self, request: Any, **kwargs: Any) -> Response:
        """Check the names of the fields, make the call and answer with its message."""
        fields = arguments_of(request)
        refuse_unknown(fields, self.fields)
        return Response({"message": self.call(fields, request.user)})

    def throttle_scope_of(self, request: Any) -> str:
        return self.throttle

    def get_queryset(self) -> JobQuerySet:
        """Return the jobs that the user may know of."""
        return jobs_seen_by(self.request.user)

    def find_job(self, fields: Mapping[str, Any]) -> Job:
        """Return the job that the field ``job_id`` names.

        ValidationError without that field; JobNotFound when there is no such job for this user.
        """
        job_id = fields.get("job_id")
        if not job_id:
            raise ValidationError({"job_id": [say("This field is required.", code="required")]})
        return find_among(self.get_queryset(), job_id, self.request.user)

    def perform_content_negotiation(self, request: Any, force: bool = False) -> Any:
        return super().perform_content_negotiation(request, force=True)

    def get_exception_handler(self) -> Any:
        return answer


class ReadingView(MethodView):
    """A call that changes nothing, so that GET works too."""

    def get(self, request: Any, **kwargs: Any) -> Response:
        return self.post(request)
