"""The quickstart's calls: the same verbs, by other names and in other shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.http import QueryDict
from rest_framework.exceptions import ValidationError
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import set_rollback

from django_jobs.api import submitting
from django_jobs.api.base import JobsView
from django_jobs.api.errors import Problem, problem_of
from django_jobs.api.fields import refuse_unknown
from django_jobs.api.filters import JobFilter
from django_jobs.api.pagination import MAX_LIMIT, asks_for_results, read_range
from django_jobs.api.scope import jobs_seen_by
from django_jobs.api.serializers import FORM_EXTRAS, SubmissionSerializer
from django_jobs.api.views import SUBMITTED, history_of, metrics_of, rows_of
from django_jobs.engine.control.cancel_and_retry import cancel_job, retry_job
from django_jobs.engine.insight.listing import MAX_RESULTS, for_list
from django_jobs.engine.insight.status import describe
from django_jobs.engine.lookup import find_among
from django_jobs.engine.store.counting import capped_count
from django_jobs.models import Job
from django_jobs.statuses import Status

EXC_TYPES: Final = {
    400: "ValidationError",
    401: "AuthenticationError",
    403: "PermissionError",
    404: "DoesNotExistError",
    409: "InvalidTransitionError",
    429: "TooManyRequestsError",
    500: "InternalServerError",
}


class MethodView(JobsView):
    """Answers ``{"message": …}``. Takes JSON, or fields of a form or the query."""

    throttle: str
    fields: tuple[str, ...] = ("job_id",)
    renderer_classes = [JSONRenderer]

    def call(self, fields: dict[str, Any], user: Any) -> Any:
        """What the method does; returns the message."""
        raise NotImplementedError

    def post(self, request: Any, **kwargs: Any) -> Response:
        fields = _fields(request)
        refuse_unknown(fields, self.fields)
        return Response({"message": self.call(fields, request.user)})

    def throttle_scope_of(self, request: Any) -> str:
        return self.throttle

    def get_queryset(self) -> Any:
        return jobs_seen_by(self.request.user)

    def find_job(self, fields: Mapping[str, Any]) -> Job:
        job_id = fields.get("job_id")
        if not job_id:
            raise ValidationError({"job_id": ["This field is required."]})
        return find_among(self.get_queryset(), job_id, self.request.user)

    def perform_content_negotiation(self, request: Any, force: bool = False) -> Any:
        return super().perform_content_negotiation(request, force=True)

    def get_exception_handler(self) -> Any:
        return _answer


class ReadingView(MethodView):
    """A method that changes nothing, so that GET will do."""

    def get(self, request: Any, **kwargs: Any) -> Response:
        return self.post(request)


class SubmitJob(MethodView):
    """Submit a job."""

    throttle = "submit"
    fields = tuple(SubmissionSerializer().fields)

    def call(self, fields: dict[str, Any], user: Any) -> Any:
        serializer = SubmissionSerializer(data=_with_objects(fields))
        serializer.is_valid(raise_exception=True)
        job = submitting.submit(serializer, user)
        return _told(Job.primary.filter(pk=job.pk).first() or job, SUBMITTED)


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
        # A POST has the id in its body, the address leads on by itself.
        return {**page, "next": page["next"] and replace_query_param(page["next"], "job_id", job.name)}


class ListJobs(ReadingView):
    """A page of jobs, newest first; takes the filters of the REST list."""

    throttle = "list"
    fields = (*JobFilter.base_filters, "limit", "offset", "fields")

    def call(self, fields: dict[str, Any], user: Any) -> Any:
        results = asks_for_results(fields)
        limit, offset = read_range(fields, MAX_RESULTS if results else MAX_LIMIT)
        rows = JobFilter(_as_query(fields), self.get_queryset().order_by("-pk"), request=self.request).matching()
        total, _ = capped_count(rows)
        page = rows_of(list(for_list(rows, results=results)[offset : offset + limit]), user, results=results)
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


def _fields(request: Any) -> dict[str, Any]:
    """The fields of the body, and of the query where the body has none of that name."""
    body = request.data
    if not hasattr(body, "keys"):
        raise ValidationError({"non_field_errors": ["Give an object (a dict) with the call's fields."]})
    fields = _plain(request.query_params) | _plain(body)
    return {name: value for name, value in fields.items() if name not in FORM_EXTRAS}


def _plain(values: Any) -> dict[str, Any]:
    """A form's fields as JSON would have them: a repeated one is a list."""
    if not isinstance(values, QueryDict):
        return dict(values)
    return {name: found if len(found) > 1 else found[0] for name, found in values.lists() if found}


def _with_objects(fields: dict[str, Any]) -> dict[str, Any]:
    """A form has its objects as text."""
    from rest_framework.utils import json

    read = dict(fields)
    for name in ("parameters", "metadata"):
        if isinstance(fields.get(name), str):
            try:
                read[name] = json.loads(fields[name] or "null")
            except (ValueError, RecursionError) as error:
                raise ValidationError({name: ["Value must be valid JSON."]}) from error
    return {name: value for name, value in read.items() if value != "" or name in {"job_type", "organization"}}


def _as_query(fields: dict[str, Any]) -> QueryDict:
    query = QueryDict(mutable=True)
    for name, value in fields.items():
        query.setlist(name, [str(item) for item in (value if isinstance(value, list) else [value]) if item is not None])
    return query


def _told(job: Job, message: str) -> dict[str, Any]:
    return {"job_id": job.name, "status": str(job.status), "message": message}


def _answer(error: Exception, _context: Mapping[str, Any]) -> Response | None:
    problem = problem_of(error)
    if problem is None:
        return None
    set_rollback()
    duplicate = problem.code == "duplicate_job"
    exc_type = "DuplicateError" if duplicate else EXC_TYPES.get(problem.status_code, "ValidationError")
    body = {"exc_type": exc_type, "message": _message(problem)}
    if "existing_job_id" in problem.facts:
        body["existing_job_id"] = problem.facts["existing_job_id"]
    return Response(body, status=problem.status_code, headers=dict(problem.headers))


def _message(problem: Problem) -> str:
    if problem.fields is None:
        return problem.detail
    if isinstance(problem.fields, Mapping):
        return "; ".join(f"{name}: {_words(texts)}" for name, texts in problem.fields.items())
    return _words(problem.fields)


def _words(texts: Any) -> str:
    return " ".join(map(str, texts)) if isinstance(texts, list) else str(texts)
