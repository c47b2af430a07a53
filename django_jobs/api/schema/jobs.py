"""The routes of jobs."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiViewExtension
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view

from django_jobs.api.fields import MAX_VALUES
from django_jobs.api.jobs import MAX_BULK, SUBMITTED
from django_jobs.api.schema.answers import (
    DENIED,
    DUPLICATE,
    INVALID_LIST,
    JOB,
    NOT_FOUND,
    SUBMISSION,
    TRANSITION,
    WAITING_JOB,
    ErrorSerializer,
    reading,
    writing,
)
from django_jobs.api.schema.bodies import METRICS, HistorySerializer, MetricsSerializer, TicketSerializer
from django_jobs.api.schema.fields import WORD_OR_NUMBER
from django_jobs.api.serializers import JobSerializer, ListedJobSerializer, SubmissionSerializer, SubmittedJobSerializer
from django_jobs.statuses import Status

JOB_ID = OpenApiParameter("job_id", str, "path", description="E.g. JOB-2026-00001.")
_ROW = {"type": "integer", "minimum": 0}
AFTER = OpenApiParameter("after", _ROW, description="The id of a row: those that follow it.")
ORGANIZATION = OpenApiParameter("organization", str, description="The id of an organization.")
_JOB = OpenApiResponse(JobSerializer, "The job.", [OpenApiExample("job", JOB)])
_ASKED = OpenApiResponse(JobSerializer, "The job runs, and was asked to stop.")
_GONE = OpenApiResponse(ErrorSerializer, "There is no such job for you, or it has no file (`no_output`).")
_WITHHELD = OpenApiResponse(
    ErrorSerializer, "You may not, or the organization is not active (`organization_inactive`)."
)
_SUBMITTED = OpenApiResponse(
    SubmittedJobSerializer, "The job.", [OpenApiExample("submitted", {**WAITING_JOB, "message": SUBMITTED})]
)
_SUBMISSION = OpenApiExample("report", SUBMISSION, request_only=True)
_BULK_SUBMISSION = OpenApiExample("two", [SUBMISSION, {**SUBMISSION, "priority": "Low"}], request_only=True)


def several(name: str, item: dict[str, Any], text: str) -> OpenApiParameter:
    """Return a parameter that may be repeated."""
    return OpenApiParameter(
        name, {"type": "array", "items": item, "maxItems": MAX_VALUES}, description=text, explode=True, style="form"
    )


FILTERS = [
    ORGANIZATION,
    several("status", {"type": "string", "enum": list(Status.values)}, "May be repeated."),
    several("job_type", {"type": "string"}, "The name of a job type; may be repeated."),
    OpenApiParameter("priority", WORD_OR_NUMBER, description="The word or the number."),
    OpenApiParameter("owner", str, description="A user name."),
    several("job_id", {"type": "string"}, "E.g. JOB-2026-00001; may be repeated."),
    OpenApiParameter("batch", str, description="The id of a batch, e.g. BATCH-2026-00001: the jobs that count for it."),
    OpenApiParameter("created_after", OpenApiTypes.DATETIME, description="At this moment or later."),
    OpenApiParameter("created_before", OpenApiTypes.DATETIME, description="Before this moment."),
    OpenApiParameter("search", str, description="A job id, or a part of the error of a job that failed."),
    OpenApiParameter("ordering", str, enum=["created_at", "-created_at"], description="By default newest first."),
]

_DESCRIPTIONS = {
    "list": extend_schema(parameters=FILTERS, filters=False, responses=reading(ListedJobSerializer(many=True))),
    "create": extend_schema(
        request=SubmissionSerializer,
        examples=[_SUBMISSION],
        responses=writing({201: _SUBMITTED}, {409: DUPLICATE}),
    ),
    "bulk": extend_schema(
        description=f"All or nothing, {MAX_BULK} at most. Each counts against the throttle `submit_items`.",
        request={"application/json": SubmissionSerializer(many=True)},
        examples=[_BULK_SUBMISSION],
        filters=False,
        responses=writing({201: ListedJobSerializer(many=True)}, {400: INVALID_LIST, 409: DUPLICATE}),
    ),
    "retrieve": extend_schema(parameters=[JOB_ID], responses=reading(_JOB, {404: NOT_FOUND})),
    "history": extend_schema(parameters=[JOB_ID, AFTER], responses=reading(HistorySerializer, {404: NOT_FOUND})),
    "output": extend_schema(
        parameters=[JOB_ID],
        responses={
            **reading(ErrorSerializer, {403: _WITHHELD, 404: _GONE}),
            (200, "*/*"): OpenApiResponse(OpenApiTypes.BINARY, "The file."),
        },
    ),
    "cancel": extend_schema(
        parameters=[JOB_ID],
        request=None,
        responses=writing({200: _JOB, 202: _ASKED}, {404: NOT_FOUND, 409: TRANSITION}),
    ),
    "retry": extend_schema(
        parameters=[JOB_ID], request=None, responses=writing({200: _JOB}, {404: NOT_FOUND, 409: TRANSITION})
    ),
    "destroy": extend_schema(
        parameters=[JOB_ID], responses=writing({204: None}, {403: DENIED, 404: NOT_FOUND, 409: TRANSITION})
    ),
    "metrics": extend_schema(
        parameters=[ORGANIZATION],
        responses=reading(OpenApiResponse(MetricsSerializer, "", [OpenApiExample("metrics", METRICS)])),
    ),
    "socket_ticket": extend_schema(request=None, responses=writing({200: TicketSerializer})),
}


class DescribeJobs(OpenApiViewExtension):  # type: ignore[no-untyped-call]
    """Attaches the descriptions to the routes of jobs."""

    target_class = "django_jobs.api.jobs.JobViewSet"

    def view_replacement(self) -> Any:
        class Described(self.target_class):  # type: ignore[name-defined, misc]
            pass

        return extend_schema_view(**_DESCRIPTIONS)(Described)
