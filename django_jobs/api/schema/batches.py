"""The routes of batches."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.extensions import OpenApiSerializerFieldExtension, OpenApiViewExtension
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view

from django_jobs.api.batches import BatchSerializer, FollowUpSerializer, NewBatchSerializer
from django_jobs.api.schema.answers import BATCH, ErrorSerializer, reading, writing
from django_jobs.api.schema.jobs import ORGANIZATION, several
from django_jobs.statuses import BatchState, Status

_NOTHING_COUNTED: Final = dict.fromkeys(Status.values, 0)
_NEW: Final[dict[str, Any]] = {
    **BATCH,
    "state": "Open",
    "total": 0,
    "progress": 0,
    "by_status": _NOTHING_COUNTED,
    "started_at": None,
    "closed_at": None,
}
_CANCELED: Final[dict[str, Any]] = {
    **BATCH,
    "state": "Canceled",
    "progress": 100,
    "by_status": {**_NOTHING_COUNTED, "Completed": 100, "Canceled": 100},
    "completed_at": "2026-01-05T09:00:09.300000Z",
}
_REQUEST: Final[dict[str, Any]] = {
    "organization": "ORG-2026-00001",
    "name": "Invoices of January",
    "then": {"job_type": "send_letter", "parameters": {"to": "the accountant"}},
}
_BATCH_ID = OpenApiParameter("batch_id", str, "path", description="E.g. BATCH-2026-00001.")
_NOT_FOUND = OpenApiResponse(ErrorSerializer, "There is no such batch for you (`not_found`).")
_REFUSED = OpenApiResponse(
    ErrorSerializer,
    "The batch is in a state that does not allow this (`invalid_transition`).",
    [
        OpenApiExample(
            "invalid_transition",
            {
                "detail": "Cannot cancel BATCH-2026-00001: it is Completed.",
                "code": "invalid_transition",
                "batch_id": "BATCH-2026-00001",
                "status": "Completed",
                "verb": "cancel",
            },
        )
    ],
)
_FILTERS = [
    ORGANIZATION,
    several("state", {"type": "string", "enum": list(BatchState.values)}, "May be repeated."),
    OpenApiParameter("created_after", OpenApiTypes.DATETIME, description="At this moment or later."),
    OpenApiParameter("created_before", OpenApiTypes.DATETIME, description="Before this moment."),
    OpenApiParameter("search", str, description="A batch id, or a part of the name."),
]


def _batch(text: str, example: dict[str, Any] = BATCH) -> OpenApiResponse:
    return OpenApiResponse(BatchSerializer, text, [OpenApiExample("batch", example)])


def _verb(success: dict[int, Any]) -> Any:
    return extend_schema(
        parameters=[_BATCH_ID], request=None, responses=writing(success, {404: _NOT_FOUND, 409: _REFUSED})
    )


_DESCRIPTIONS = {
    "list": extend_schema(parameters=_FILTERS, filters=False, responses=reading(BatchSerializer(many=True))),
    "create": extend_schema(
        request=NewBatchSerializer,
        examples=[OpenApiExample("invoices", _REQUEST, request_only=True)],
        responses=writing({201: _batch("The batch.", _NEW)}),
    ),
    "retrieve": extend_schema(parameters=[_BATCH_ID], responses=reading(_batch("The batch."), {404: _NOT_FOUND})),
    "close": _verb({200: _batch("The batch.")}),
    "cancel": _verb(
        {
            200: _batch("All its jobs have ended.", _CANCELED),
            202: _batch("Some of its jobs are still to be canceled, or run and were asked to stop."),
        }
    ),
    "retry": _verb(
        {200: _batch("Its failed jobs start over."), 202: _batch("The last of its failed jobs follow soon.")}
    ),
}


class DescribeBatches(OpenApiViewExtension):  # type: ignore[no-untyped-call]
    """Attaches the descriptions to the routes of batches."""

    target_class = "django_jobs.api.batches.BatchViewSet"

    def view_replacement(self) -> Any:
        class Described(self.target_class):  # type: ignore[name-defined, misc]
            pass

        return extend_schema_view(**_DESCRIPTIONS)(Described)


class DescribeFollowUp(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """A submission without organization, or null."""

    target_class = "django_jobs.api.batches.FollowUpField"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> Any:
        """Return a reference to the schema of the submission."""
        return auto_schema.resolve_serializer(FollowUpSerializer, direction).ref
