"""The calls themselves, by their names."""

from __future__ import annotations

from typing import Any, Final

from rest_framework.utils.urls import replace_query_param

from django_jobs.api.jobs import submissions
from django_jobs.api.jobs.answers import SUBMITTED, history_of, metrics_of, rows_of
from django_jobs.api.jobs.filters import JobListFilter, searching
from django_jobs.api.methods.arguments import as_query, with_objects
from django_jobs.api.methods.base import MethodView, ReadingView
from django_jobs.api.pagination import MAX_LIMIT, asks_for_results, read_range
from django_jobs.api.serializers import SubmissionSerializer
from django_jobs.engine.control.acts import cancel_job, retry_job
from django_jobs.engine.insight.status import MAX_RESULTS, describe, for_list
from django_jobs.engine.store.counting import capped_count
from django_jobs.models import Job
from django_jobs.statuses import Status


class SubmitJob(MethodView):
    """Submit a job."""

    throttle = "submit"
    fields = tuple(SubmissionSerializer().fields)

    def call(self, fields: dict[str, Any], user: Any) -> Any:
        serializer = SubmissionSerializer(data=with_objects(fields))
        serializer.is_valid(raise_exception=True)
        return _told(submissions.reread(submissions.submit(serializer, user)), SUBMITTED)


class CancelJob(MethodView):
    """Cancel a job that waits; ask one that runs to stop."""

    throttle = "cancel"

    def call(self, fields: dict[str, Any], user: Any) -> Any:
        job = cancel_job(self.find_job(fields), user=user)
        return _told(job, "Job canceled" if job.status == Status.CANCELED else "Cancellation requested")


class RetryJob(MethodView):
    """Give a job that failed a new life."""

    throttle = "cancel"

    def call(self, fields: dict[str, Any], user: Any) -> Any:
        return _told(retry_job(self.find_job(fields), user=user), "Job queued for retry")


class GetJobStatus(ReadingView):
    """What a job does now."""

    throttle = "status"

    def call(self, fields: dict[str, Any], user: Any) -> Any:
        return describe(self.find_job(fields), user=user).as_dict()


class GetJobHistory(ReadingView):
    """What happened to a job, in order."""

    throttle = "status"
    fields = ("job_id", "after")

    def call(self, fields: dict[str, Any], user: Any) -> Any:
        job = self.find_job(fields)
        page = history_of(job, self.request, fields.get("after"))
        # A POST has the id in its body; the address of the next page must name the job by itself.
        return {**page, "next": page["next"] and replace_query_param(page["next"], "job_id", job.name)}


class ListJobs(ReadingView):
    """A page of jobs, newest first; takes the filters of the REST list."""

    throttle = "list"
    fields = (*JobListFilter.base_filters, "limit", "offset", "fields")

    def call(self, fields: dict[str, Any], user: Any) -> Any:
        results = asks_for_results(fields)
        limit, offset = read_range(fields, MAX_RESULTS if results else MAX_LIMIT)
        query = as_query(fields)
        with searching(self.request, query.get("search")):
            rows = JobListFilter(query, self.get_queryset().order_by("-pk"), request=self.request).matching()
            total, _ = capped_count(rows)
            found = list(for_list(rows, results=results)[offset : offset + limit])
        page = rows_of(found, user, results=results)
        return {"jobs": page, "total": total, "limit": limit, "offset": offset}


class GetJobMetrics(ReadingView):
    """How jobs are doing."""

    throttle = "metrics"
    fields = ("organization",)

    def call(self, fields: dict[str, Any], user: Any) -> Any:
        return metrics_of(fields.get("organization"), user)


METHODS: Final[dict[str, type[MethodView]]] = {
    "submit_job": SubmitJob,
    "get_job_status": GetJobStatus,
    "list_jobs": ListJobs,
    "cancel_job": CancelJob,
    "retry_job": RetryJob,
    "get_job_history": GetJobHistory,
    "get_job_metrics": GetJobMetrics,
}


def _told(job: Job, message: str) -> dict[str, Any]:
    return {"job_id": job.name, "status": str(job.status), "message": message}
