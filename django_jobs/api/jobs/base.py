"""What the views of jobs have in common: whose jobs they reach, and how they describe one."""

from __future__ import annotations

from typing import Any

from django_jobs.api.rows import RowsView
from django_jobs.api.scope import jobs_seen_by
from django_jobs.engine.access import find_among
from django_jobs.engine.insight.status import describe
from django_jobs.models import Job
from django_jobs.models.job import JobQuerySet


class JobScope(RowsView[Job]):
    """Reaches the jobs that the user may know of. Another tenant's job is not found by any route."""

    lookup_field = "job_id"

    def get_queryset(self) -> JobQuerySet:
        if getattr(self, "swagger_fake_view", False):  # a schema is made without the database
            return Job.objects.none()
        return jobs_seen_by(self.request.user)

    def get_object(self) -> Job:
        return find_among(self.get_queryset(), self.kwargs["job_id"], self.request.user)

    def described(self, job: Job) -> dict[str, Any]:
        """Return the fields of the job's status, as far as the user may read them."""
        return describe(job, user=self.request.user).as_dict()
