"""The quickstart's calls."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiViewExtension
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema, inline_serializer

from django_jobs.api.jobs import SUBMITTED
from django_jobs.api.pagination import JobListPagination
from django_jobs.api.schema.answers import SUBMISSION
from django_jobs.api.schema.bodies import (
    METRICS,
    HistorySerializer,
    JobIdSerializer,
    JobPageSerializer,
    MethodErrorSerializer,
    MetricsSerializer,
    ToldSerializer,
)
from django_jobs.api.schema.jobs import AFTER, FILTERS, ORGANIZATION
from django_jobs.api.serializers import JobSerializer, SubmissionSerializer

_ERRORS = {
    status: OpenApiResponse(
        MethodErrorSerializer, kind, [OpenApiExample(kind, {"exc_type": kind, "message": "What is wrong."})]
    )
    for status, kind in (
        (400, "ValidationError"),
        (401, "AuthenticationError"),
        (403, "PermissionError"),
        (404, "DoesNotExistError"),
        (405, "ValidationError"),
        (409, "DuplicateError or InvalidTransitionError"),
        (413, "ValidationError"),
        (415, "ValidationError"),
        (429, "TooManyRequestsError"),
        (500, "InternalServerError"),
    )
}
_JOB_ID = OpenApiParameter("job_id", str, description="E.g. JOB-2026-00001.")
#: A GET has no body that could have it.
_NEEDED = OpenApiParameter("job_id", str, description="E.g. JOB-2026-00001.", required=True)
_PAGE = [
    OpenApiParameter(item["name"], item["schema"], description=item["description"])
    for item in JobListPagination().get_schema_operation_parameters(None)
]
_TOLD = {"job_id": "JOB-2026-00001", "status": "Queued", "message": SUBMITTED}


def _message(name: str, body: Any, example: Any = None) -> OpenApiResponse:
    serializer = inline_serializer(name, {"message": body})
    return OpenApiResponse(serializer, "", [OpenApiExample(name, {"message": example})] if example else [])


def _by_post(request: Any, answer: OpenApiResponse, **more: Any) -> dict[str, Any]:
    return {"post": extend_schema(request=request, responses={200: answer, **_ERRORS}, **more)}


def _by_both(parameters: list[Any], answer: OpenApiResponse) -> dict[str, Any]:
    responses = {200: answer, **_ERRORS}
    return {
        "get": extend_schema(
            parameters=[_NEEDED if item is _JOB_ID else item for item in parameters], responses=responses
        ),
        # The same fields, in the query or in the body.
        "post": extend_schema(parameters=parameters, request=None, responses=responses),
    }


_DESCRIPTIONS: dict[str, dict[str, Any]] = {
    "SubmitJob": _by_post(
        SubmissionSerializer,
        _message("SubmitJobMessage", ToldSerializer(), _TOLD),
        examples=[OpenApiExample("report", SUBMISSION, request_only=True)],
    ),
    "CancelJob": _by_post(JobIdSerializer, _message("CancelJobMessage", ToldSerializer())),
    "RetryJob": _by_post(JobIdSerializer, _message("RetryJobMessage", ToldSerializer())),
    "GetJobStatus": _by_both([_JOB_ID], _message("GetJobStatusMessage", JobSerializer())),
    "GetJobHistory": _by_both([_JOB_ID, AFTER], _message("GetJobHistoryMessage", HistorySerializer())),
    "ListJobs": _by_both([*FILTERS, *_PAGE], _message("ListJobsMessage", JobPageSerializer())),
    "GetJobMetrics": _by_both([ORGANIZATION], _message("GetJobMetricsMessage", MetricsSerializer(), METRICS)),
}


def _describe(name: str) -> None:
    """Make an extension for the view of this name; drf-spectacular finds it by the name of its class."""

    def view_replacement(self: Any) -> Any:
        described = type(self.target_class.__name__, (self.target_class,), {})
        for method, description in _DESCRIPTIONS[name].items():

            def handler(self: Any, request: Any, *, _method: str = method) -> Any:
                return getattr(super(described, self), _method)(request)

            setattr(described, method, description(handler))
        described.__doc__ = self.target_class.__doc__
        return described

    target = f"django_jobs.api.methods.{name}"
    type(f"Describe{name}", (OpenApiViewExtension,), {"target_class": target, "view_replacement": view_replacement})


for _name in _DESCRIPTIONS:
    _describe(_name)
