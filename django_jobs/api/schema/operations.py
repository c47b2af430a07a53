"""The routes of operations."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.extensions import OpenApiViewExtension
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view

from django_jobs.api.operations import EstimateSerializer, NewOperationSerializer, OperationSerializer
from django_jobs.api.schema.answers import ErrorSerializer, reading, writing

_REQUEST: Final[dict[str, Any]] = {
    "action": "retry",
    "filters": {"status": "Dead Letter", "job_type": "send_welcome_email", "organization": "ORG-2026-00001"},
    "rate": 600,
    "stop_above": 0.2,
    "try_first": True,
}
_ESTIMATE: Final[dict[str, Any]] = {
    "count": 2956,
    "count_capped": False,
    "eta_seconds": 295.6,
}
OPERATION: Final[dict[str, Any]] = {
    "id": 7,
    "action": "retry",
    "value": None,
    "filters": {
        "status": ["Dead Letter"],
        "job_type": ["send_welcome_email"],
        "organization": ["ORG-2026-00001"],
    },
    "state": "done",
    "reason": "",
    "note": "",
    "user": "alice",
    "rate": 600,
    "stop_above": 0.2,
    "try_first": True,
    "count": 2956,
    "count_capped": False,
    "changed": 2956,
    "asked_to_stop": 0,
    "refused": {},
    "outcome": {"Completed": 2801, "Dead Letter": 155},
    "outcome_is_exact": True,
    "eta_seconds": None,
    "started_at": "2026-01-05T09:00:00.120000Z",
    "ended_at": "2026-01-05T09:05:01.300000Z",
}
_ID = OpenApiParameter("id", int, "path")
_NOT_FOUND = OpenApiResponse(ErrorSerializer, "There is no such operation for you (`not_found`).")
_OVER = OpenApiResponse(
    ErrorSerializer,
    "The operation has come to its end (`invalid_transition`).",
    [OpenApiExample("over", {"detail": "The operation is over: it is “done”.", "code": "invalid_transition"})],
)


def _operation(text: str) -> OpenApiResponse:
    return OpenApiResponse(OperationSerializer, text, [OpenApiExample("operation", OPERATION)])


_SWITCH: Final = extend_schema(
    parameters=[_ID],
    request=None,
    responses=writing({200: _operation("The operation.")}, {404: _NOT_FOUND, 409: _OVER}),
)
_DESCRIPTIONS = {
    "list": extend_schema(filters=False, responses=reading(OperationSerializer(many=True))),
    "create": extend_schema(
        request=NewOperationSerializer,
        examples=[OpenApiExample("retry", _REQUEST, request_only=True)],
        responses=writing(
            {
                200: OpenApiResponse(
                    EstimateSerializer,
                    "With `dry_run`: what it would do. Nothing is stored.",
                    [OpenApiExample("dry_run", _ESTIMATE)],
                ),
                202: _operation("The operation, which is worked off in the background."),
            }
        ),
    ),
    "retrieve": extend_schema(parameters=[_ID], responses=reading(_operation("The operation."), {404: _NOT_FOUND})),
    "pause": _SWITCH,
    "resume": _SWITCH,
    "stop": _SWITCH,
}


class DescribeOperations(OpenApiViewExtension):  # type: ignore[no-untyped-call]
    """Attaches the descriptions to the routes of operations."""

    target_class = "django_jobs.api.operations.OperationViewSet"

    def view_replacement(self) -> Any:
        class Described(self.target_class):  # type: ignore[name-defined, misc]
            pass

        return extend_schema_view(**_DESCRIPTIONS)(Described)
