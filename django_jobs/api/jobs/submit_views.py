"""The routes that submit jobs."""

from __future__ import annotations

from typing import Any

from rest_framework import status
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response

from django_jobs.api.jobs import submissions
from django_jobs.api.jobs.answers import SUBMITTED, rows_of
from django_jobs.api.jobs.base import JobScope
from django_jobs.api.serializers import SubmissionSerializer
from django_jobs.api.throttles import ItemsThrottle
from django_jobs.engine.insight.status import for_list
from django_jobs.models import Job
from django_jobs.texts import say


class SubmitMixin(JobScope):
    """Submit one job, or many at once."""

    def create(self, request: Any, **kwargs: Any) -> Response:
        """Submit a job."""
        serializer = SubmissionSerializer(data=request.data, context=self.get_serializer_context())
        serializer.is_valid(raise_exception=True)
        job = submissions.reread(submissions.submit(serializer, request.user))
        body = {**self.described(job), "message": SUBMITTED}
        location = self.reverse_action("detail", kwargs={"job_id": job.name})
        return Response(body, status=status.HTTP_201_CREATED, headers={"Location": location})

    @action(detail=False, methods=["post"], pagination_class=None)
    def bulk(self, request: Any, **kwargs: Any) -> Response:
        """Submit up to 1,000 jobs, all or nothing."""
        items = submissions.check_list(request.data)
        self._count_items(request, len(items))
        jobs = submissions.submit_all(items, request.user)
        now = for_list(Job.primary.all()).in_bulk([job.pk for job in jobs])
        rows = rows_of([now.get(job.pk, job) for job in jobs], request.user)
        return Response(rows, status=status.HTTP_201_CREATED)

    def _count_items(self, request: Any, count: int) -> None:
        """Count each submission against its rate, also one that is refused later, since checking it costs time too.

        A call that exceeds the rate of requests does not come here, so it uses up nothing of this rate.
        """
        throttle = ItemsThrottle("submit_items", count)
        if throttle.max_items is not None and count > throttle.max_items:
            text = say("At most %(most)d submissions are taken at once.", code="too_many", most=throttle.max_items)
            raise ValidationError({"non_field_errors": [text]})
        if not throttle.allow_request(request, self):
            self.throttled(request, throttle.wait())
