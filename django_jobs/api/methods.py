"""The methods of the quickstart: one address a call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.http import QueryDict
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.utils import json
from rest_framework.utils.urls import replace_query_param

from django_jobs.api import jobs
from django_jobs.api.base import JobsView, ViewCall
from django_jobs.api.errors import Problem, problem_of
from django_jobs.api.fields import FORM_EXTRAS, refuse_unknown
from django_jobs.api.jobs import (
    SUBMITTED,
    HistoryParameters,
    HistorySerializer,
    JobListFilter,
    JobSerializer,
    ListedJobSerializer,
    MetricsSerializer,
    SubmissionSerializer,
    history_of,
    metrics_of,
    rows_of,
)
from django_jobs.api.pagination import MAX_LIMIT, JobListPagination, asks_for_results, read_range
from django_jobs.engine.control.acts import cancel_job, retry_job
from django_jobs.engine.insight.status import MAX_RESULTS, for_list, get_job_status
from django_jobs.engine.scope import scope_of
from django_jobs.engine.store.counting import capped_count
from django_jobs.models import Job
from django_jobs.statuses import Status
from django_jobs.texts import say

# The quickstart's calls: the same verbs as REST has, by other names and in other shapes.


# What a call was sent with: JSON, a form or the query, read into one dict.


def arguments_of(request: Any) -> dict[str, Any]:
    """Return the fields of the body, and those of the query that the body does not have.

    ValidationError when the body is no object.
    """
    body = request.data
    if not hasattr(body, "keys"):
        text = say("Give an object (a dict) with the call's fields.", code="not_an_object")
        raise ValidationError({"non_field_errors": [text]})
    fields = _plain(request.query_params) | _plain(body)
    return {name: value for name, value in fields.items() if name not in FORM_EXTRAS}


def _plain(values: Any) -> dict[str, Any]:
    """The same as JSON would have it: a form's field that is repeated becomes a list."""
    if not isinstance(values, QueryDict):
        return dict(values)
    return {name: found if len(found) > 1 else found[0] for name, found in values.lists() if found}


def with_objects(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields with ``parameters`` and ``metadata`` read from their text, which is how a form sends them.

    Fields that a form left empty are left out. ValidationError when a text is no JSON.
    """
    read = dict(fields)
    for name in ("parameters", "metadata"):
        if isinstance(fields.get(name), str):
            try:
                read[name] = json.loads(fields[name] or "null")
            except (ValueError, RecursionError) as error:
                raise ValidationError({name: [say("Value must be valid JSON.", code="not_json")]}) from error
    return {name: value for name, value in read.items() if value != "" or name in {"job_type", "organization"}}


def as_query(fields: dict[str, Any]) -> QueryDict:
    """Return the fields as a query string has them, which is what the filters of a list read."""
    query = QueryDict(mutable=True)
    for name, value in fields.items():
        query.setlist(name, [str(item) for item in (value if isinstance(value, list) else [value]) if item is not None])
    return query


# What the method endpoints have in common.


class ToldSerializer(serializers.Serializer[Any]):
    """What became of a job."""

    job_id = serializers.CharField()
    status = serializers.CharField()
    message = serializers.CharField()


class JobPageSerializer(serializers.Serializer[Any]):
    """A page of jobs."""

    jobs = ListedJobSerializer(many=True)
    total = serializers.IntegerField()
    limit = serializers.IntegerField()
    offset = serializers.IntegerField()


class MethodView(JobsView):
    """One call by POST, answered with ``{"message": …}``. It takes JSON, or the fields of a form or of the query."""

    call: ViewCall
    fields: tuple[str, ...] = ("job_id",)
    renderer_classes = [JSONRenderer]

    def answer(self, fields: dict[str, Any], user: Any) -> Any:
        """Do what the method is for, and return the message of the answer."""
        raise NotImplementedError

    def post(self, request: Any, **kwargs: Any) -> Response:
        """Check the names of the fields, make the call and answer with its message."""
        fields = arguments_of(request)
        refuse_unknown(fields, self.fields)
        return Response({"message": self.answer(fields, request.user)})

    @staticmethod
    def job_id(fields: Mapping[str, Any]) -> str:
        """Return the field ``job_id``. ValidationError without that field."""
        job_id = fields.get("job_id")
        if not job_id:
            raise ValidationError({"job_id": [say("This field is required.", code="required")]})
        return str(job_id)  # of a list there is no job

    def perform_content_negotiation(self, request: Any, force: bool = False) -> Any:
        return super().perform_content_negotiation(request, force=True)

    def get_exception_handler(self) -> Any:
        return told_of


class ReadingView(MethodView):
    """A call that changes nothing, so that GET works too."""

    def get(self, request: Any, **kwargs: Any) -> Response:
        return self.post(request)


# Errors in the shape that the quickstart's clients know: ``{"exc_type": …, "message": …}``.


EXC_TYPES: Final = {
    400: "ValidationError",
    401: "AuthenticationError",
    403: "PermissionError",
    404: "DoesNotExistError",
    409: "InvalidTransitionError",
    429: "TooManyRequestsError",
    500: "InternalServerError",
}


def told_of(error: Exception, _context: Mapping[str, Any]) -> Response | None:
    """Return the answer to an exception; None for one that a client must not be told of, which is raised again."""
    problem = problem_of(error)
    if problem is None:
        return None
    duplicate = problem.code == "duplicate_job"
    exc_type = "DuplicateError" if duplicate else EXC_TYPES.get(problem.status_code, "ValidationError")
    body = {"exc_type": exc_type, "message": _message(problem)}
    if "existing_job_id" in problem.facts:
        body["existing_job_id"] = problem.facts["existing_job_id"]
    return Response(body, status=problem.status_code, headers=dict(problem.headers))


def _message(problem: Problem) -> str:
    """All that is wrong, in one line."""
    if problem.fields is None:
        return problem.detail
    if isinstance(problem.fields, Mapping):
        return "; ".join(f"{name}: {_joined(texts)}" for name, texts in problem.fields.items())
    return _joined(problem.fields)


def _joined(texts: Any) -> str:
    return " ".join(map(str, texts)) if isinstance(texts, list) else str(texts)


# The calls themselves, by their names.


class SubmitJob(MethodView):
    """Submit a job."""

    call = ViewCall("submit", SubmissionSerializer, {200: ToldSerializer})
    fields = tuple(SubmissionSerializer().fields)

    def answer(self, fields: dict[str, Any], user: Any) -> Any:
        serializer = SubmissionSerializer(data=with_objects(fields))
        serializer.is_valid(raise_exception=True)
        return _told(jobs.reread(jobs.submit(serializer.validated_data, scope_of(self.request))), SUBMITTED)


class CancelJob(MethodView):
    """Cancel a job that waits; ask one that runs to stop."""

    call = ViewCall("cancel", answers={200: ToldSerializer})

    def answer(self, fields: dict[str, Any], user: Any) -> Any:
        job = cancel_job(self.job_id(fields), user=user)
        return _told(job, "Job canceled" if job.status == Status.CANCELED else "Cancellation requested")


class RetryJob(MethodView):
    """Give a job that failed a new life."""

    call = ViewCall("cancel", answers={200: ToldSerializer})

    def answer(self, fields: dict[str, Any], user: Any) -> Any:
        return _told(retry_job(self.job_id(fields), user=user), "Job queued for retry")


class GetJobStatus(ReadingView):
    """What a job does now."""

    call = ViewCall("status", answers={200: JobSerializer})

    def answer(self, fields: dict[str, Any], user: Any) -> Any:
        return get_job_status(self.job_id(fields), user=user).as_dict()


class GetJobHistory(ReadingView):
    """What happened to a job, in order."""

    call = ViewCall("status", answers={200: HistorySerializer})
    fields = ("job_id", "after")

    def answer(self, fields: dict[str, Any], user: Any) -> Any:
        job = scope_of(self.request).job(self.job_id(fields))
        parameters = HistoryParameters(data={"after": fields.get("after") or 0})
        parameters.is_valid(raise_exception=True)
        page = history_of(job, self.request, parameters.validated_data["after"])
        # A POST has the id in its body; the address of the next page must name the job by itself.
        return {**page, "next": page["next"] and replace_query_param(page["next"], "job_id", job.name)}


class ListJobs(ReadingView):
    """A page of jobs, newest first; takes the filters of the REST list."""

    call = ViewCall("list", answers={200: JobPageSerializer})
    fields = (*JobListFilter.terms, *JobListPagination.parameters)

    def answer(self, fields: dict[str, Any], user: Any) -> Any:
        results = asks_for_results(fields)
        limit, offset = read_range(fields, MAX_RESULTS if results else MAX_LIMIT)
        with JobListFilter().found(self.request, as_query(fields), self.fields) as rows:
            total, _ = capped_count(rows)
            found = list(for_list(rows, results=results)[offset : offset + limit])
        page = rows_of(found, user, results=results)
        return {"jobs": page, "total": total, "limit": limit, "offset": offset}


class GetJobMetrics(ReadingView):
    """How jobs are doing."""

    call = ViewCall("metrics", answers={200: MetricsSerializer})
    fields = ("organization",)

    def answer(self, fields: dict[str, Any], user: Any) -> Any:
        return metrics_of(fields.get("organization"), scope_of(self.request))


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
