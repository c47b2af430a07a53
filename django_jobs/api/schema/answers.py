"""Answers that many calls have in common, and examples of bodies."""

from __future__ import annotations

from typing import Any, Final, get_type_hints

from drf_spectacular.utils import OpenApiExample, OpenApiResponse
from rest_framework import serializers

from django_jobs.statuses import Status
from django_jobs.values import BatchStatus, JobStatus

#: What the example of a job says. A field that is not here is empty in the example.
_SAID: Final[dict[str, Any]] = {
    "job_id": "JOB-2026-00001",
    "job_type": "pdf_generation",
    "organization": "ORG-2026-00001",
    "owner": "alice",
    "status": "Completed",
    "priority": "Normal",
    "progress": 100,
    "progress_message": "Page 12 of 12",
    "created_at": "2026-01-05T09:00:00.120000Z",
    "queued_at": "2026-01-05T09:00:00.130000Z",
    "started_at": "2026-01-05T09:00:00.140000Z",
    "completed_at": "2026-01-05T09:00:01.500000Z",
    "attempt": 1,
    "max_retries": 5,
    "output_reference": "django_jobs/1/JOB-2026-00001/gVbV2mmCVrmuLLEMVU0Icw/sales.pdf",
    "result": {"pages": 12},
}
_EMPTY: Final[dict[Any, Any]] = {str: "", int: 0, bool: False, list[str]: []}
JOB: Final[dict[str, Any]] = {
    name: _SAID.get(name, _EMPTY.get(kind)) for name, kind in get_type_hints(JobStatus).items()
}
_SAID_OF_BATCH: Final[dict[str, Any]] = {
    "batch_id": "BATCH-2026-00001",
    "name": "Invoices of January",
    "organization": "ORG-2026-00001",
    "owner": "alice",
    "open_to": "owner",
    "state": "Running",
    "total": 200,
    "by_status": {**dict.fromkeys(Status.values, 0), "Pending": 70, "Queued": 22, "Running": 8, "Completed": 100},
    "progress": 50,
    "created_at": "2026-01-05T09:00:00.120000Z",
    "started_at": "2026-01-05T09:00:00.140000Z",
    "closed_at": "2026-01-05T09:00:01.500000Z",
}
BATCH: Final[dict[str, Any]] = {
    name: _SAID_OF_BATCH.get(name, _EMPTY.get(kind)) for name, kind in get_type_hints(BatchStatus).items()
}
WAITING_JOB: Final[dict[str, Any]] = {
    **JOB,
    **dict.fromkeys(["started_at", "completed_at", "output_reference", "result"]),
    "status": "Queued",
    "progress": 0,
    "progress_message": "",
    "attempt": 0,
    "waiting_for": "broker",
}
SUBMISSION: Final[dict[str, Any]] = {
    "job_type": "pdf_generation",
    "organization": "ORG-2026-00001",
    "parameters": {"template": "monthly_report", "date_range": ["2025-01-01", "2025-01-31"]},
    "priority": "High",
}
TEXTS: Final[dict[str, Any]] = {"type": "array", "items": {"type": "string"}}
FIELD_ERRORS: Final[dict[str, Any]] = {"type": "object", "additionalProperties": TEXTS}


class ErrorSerializer(serializers.Serializer[Any]):
    """What went wrong; ``code`` is made for programs. Some errors tell facts beside it."""

    detail = serializers.CharField()
    code = serializers.CharField()
    existing_job_id = serializers.CharField(required=False, help_text="Of a duplicate_job.")
    job_id = serializers.CharField(required=False, help_text="Of an invalid_transition.")
    batch_id = serializers.CharField(required=False, help_text="The same, where a batch was asked for it.")
    status = serializers.CharField(required=False, help_text="That job's, or the state of that batch.")
    verb = serializers.CharField(required=False, help_text="What was asked of it.")
    index = serializers.IntegerField(required=False, help_text="In bulk: the place of the first culprit.")


def _error(text: str, code: str, facts: dict[str, Any] | None = None) -> OpenApiResponse:
    example = OpenApiExample(code, {"detail": text, "code": code, **(facts or {})})
    return OpenApiResponse(ErrorSerializer, text, [example])


ERROR_BODY: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"detail": {"type": "string"}, "code": {"type": "string"}},
    "required": ["detail", "code"],
}
INVALID: Final = OpenApiResponse(
    {"anyOf": [FIELD_ERRORS, ERROR_BODY]},
    "The fields that are wrong, each with its reasons; or, of a body that cannot be read, detail and code.",
    [OpenApiExample("invalid", {"organization": ["There is no organization 'ORG-2026-00009'."]})],
)
INVALID_LIST: Final = OpenApiResponse(
    {"anyOf": [{"type": "array", "items": FIELD_ERRORS}, FIELD_ERRORS, ERROR_BODY]},
    "A list as long as the body, with {} for what is good; an object where the body is no such list at all.",
    [OpenApiExample("invalid", [{}, {"job_type": ["There is no job type 'mail'."]}])],
)
NOT_AUTHENTICATED: Final = _error("Authentication credentials were not provided.", "not_authenticated")
DENIED: Final = _error("You may not do this.", "permission_denied")
NOT_FOUND: Final = _error("There is no job 'JOB-2026-00009'.", "not_found")
DUPLICATE: Final = _error(
    "The same work was submitted as JOB-2026-00001 (Queued).",
    "duplicate_job",
    {"existing_job_id": "JOB-2026-00001", "status": "Queued"},
)
TRANSITION: Final = _error(
    "Cannot cancel JOB-2026-00001: it is Completed.",
    "invalid_transition",
    {"job_id": "JOB-2026-00001", "status": "Completed", "verb": "cancel"},
)
IN_USE: Final = _error("This job type has jobs, so it cannot be deleted. Disable it instead.", "job_type_in_use")
THROTTLED: Final = OpenApiResponse(
    ErrorSerializer,
    "Too many requests, or more jobs than the type's rate limit or the organization's backlog takes; see Retry-After.",
    [
        OpenApiExample(code, {"detail": text, "code": code})
        for code, text in (
            ("throttled", "Request was throttled. Expected available in 20 seconds."),
            ("rate_limited", "This organization may submit 10 fax_send in 60 seconds; try again in 31 s."),
            ("queue_full", "This organization has 500 jobs waiting, as many as it may; try again later."),
        )
    ],
)
#: What any call may answer: 500 where the host's access policy raises instead of saying what the user may do.
OTHER: Final = {
    405: _error('Method "PUT" not allowed.', "method_not_allowed"),
    406: _error("Could not satisfy the request Accept header.", "not_acceptable"),
    500: _error("Whether you may do this cannot be told: the access policy failed.", "access_policy_failed"),
}
BODY: Final = {
    413: _error("The request's body is larger than 2621440 bytes.", "too_large"),
    415: _error('Unsupported media type "text/plain" in request.', "unsupported_media_type"),
}


def reading(success: Any, more: dict[int, Any] | None = None) -> dict[int, Any]:
    """Return the answers of a call that reads, by status; ``more`` adds to them or takes their place."""
    common = {400: INVALID, 401: NOT_AUTHENTICATED, 403: DENIED, **OTHER, 413: BODY[413], 415: BODY[415]}
    return {200: success, **common, 429: THROTTLED, **(more or {})}


def writing(success: dict[int, Any], more: dict[int, Any] | None = None) -> dict[int, Any]:
    """Return the answers of a call that changes something, by status; ``more`` adds to them or takes their place."""
    return {
        **success,
        400: INVALID,
        401: NOT_AUTHENTICATED,
        403: DENIED,
        **OTHER,
        **BODY,
        429: THROTTLED,
        **(more or {}),
    }
