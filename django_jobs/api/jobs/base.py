"""What the views of jobs have in common: whose jobs they reach, and how they describe one."""

from __future__ import annotations

from typing import Any

from rest_framework.viewsets import GenericViewSet

from django_jobs.api.base import JobsView
from django_jobs.api.scope import jobs_seen_by
from django_jobs.api.serializers import NothingSerializer
from django_jobs.engine.insight.status import describe
from django_jobs.engine.lookup import find_among
from django_jobs.models import Job
from django_jobs.models.job import JobQuerySet


class JobScope(JobsView, GenericViewSet[Job]):
    """Reaches the jobs that the user may know of. Another tenant's job is not found by any route.

    Its methods accept any parameters of the address, since the host's prefix may have some.
    """

    lookup_field = "job_id"
    lookup_value_regex = "[^/]+"
    serializer_class: Any = NothingSerializer

    def get_queryset(self) -> JobQuerySet:
        if getattr(self, "swagger_fake_view", False):  # a schema is made without the database
            return Job.objects.none()
        return jobs_seen_by(self.request.user)

    def get_object(self) -> Job:
        return find_among(self.get_queryset(), self.kwargs["job_id"], self.request.user)

    def reverse_action(self, url_name: str, *args: Any, **kwargs: Any) -> str:
        """Return the address of another route below the same prefix, which may have parameters of its own."""
        prefix = {name: value for name, value in self.kwargs.items() if name != self.lookup_field}
        return str(super().reverse_action(url_name, *args, **{**kwargs, "kwargs": prefix | kwargs.get("kwargs", {})}))

    def described(self, job: Job) -> dict[str, Any]:
        """Return the fields of the job's status, as far as the user may read them."""
        return describe(job, user=self.request.user).as_dict()

    @staticmethod
    def refuse_fields(request: Any) -> None:
        """Raise ValidationError when the body has any field: this call takes none."""
        NothingSerializer(data=request.data).is_valid(raise_exception=True)
