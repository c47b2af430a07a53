"""The routes of schedules."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.extensions import OpenApiViewExtension
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view

from django_jobs.api.schedules import FiringSerializer, PreviewSerializer, RuleSerializer, ScheduleSerializer
from django_jobs.api.schema.answers import ErrorSerializer, reading, writing

SCHEDULE: Final[dict[str, Any]] = {
    "id": 12,
    "name": "nightly_report",
    "job_type": "pdf_generation",
    "organization": "ORG-2026-00001",
    "parameters": {"template": "monthly_report"},
    "priority": None,
    "cron": "0 2 * * MON-FRI",
    "every": None,
    "timezone": "Europe/Berlin",
    "starts_at": None,
    "ends_at": None,
    "jitter": 600,
    "catch_up": "once",
    "overlap": "skip",
    "is_enabled": True,
    "url": "https://your-site.com/api/schedules/12/",
    "words": "At 02:00, Monday to Friday",
    "owner": "alice",
    "created_at": "2026-01-05T09:00:00Z",
    "last_fired_at": "2026-01-06T01:00:00Z",
    "next_run_at": "2026-01-07T01:00:00Z",
    "fault": "",
    "faulty_since": None,
}
_NEW: Final = {
    name: SCHEDULE[name] for name in ("name", "job_type", "organization", "parameters", "cron", "timezone", "jitter")
}
_FIRING: Final[dict[str, Any]] = {
    "due_at": "2026-01-06T01:00:00Z",
    "fired_at": "2026-01-06T01:00:00.031000Z",
    "outcome": "submitted",
    "submitted": 1,
    "skipped": 0,
    "job_id": "JOB-2026-00001",
    "note": "",
    "actor": "",
}
_PREVIEW: Final = {
    "words": "At 02:00, Monday to Friday",
    "timezone": "Europe/Berlin",
    "next_runs": ["2026-01-06T02:00:00+01:00", "2026-01-07T02:00:00+01:00"],
}
_RULE: Final = {"cron": "0 2 * * MON-FRI", "timezone": "Europe/Berlin"}
_ID: Final = [OpenApiParameter("id", int, "path")]
_FILTERS: Final = [
    OpenApiParameter("organization", str, description="The id of an organization."),
    OpenApiParameter("job_type", str, description="The name of a job type."),
    OpenApiParameter("is_enabled", bool, description="False: the paused ones."),
    OpenApiParameter("search", str, description="A part of the name or of the job type's name."),
]
_RULE_PARAMETERS: Final = [
    OpenApiParameter("cron", str, description="Five fields."),
    OpenApiParameter("every", int, description="Seconds, in the place of cron."),
    OpenApiParameter("timezone", str, description="A name such as Europe/Berlin."),
    OpenApiParameter("starts_at", OpenApiTypes.DATETIME, description="No firing before it."),
    OpenApiParameter("ends_at", OpenApiTypes.DATETIME, description="No firing after it."),
]
_GONE: Final = OpenApiResponse(
    ErrorSerializer,
    "There is no such schedule for you.",
    [OpenApiExample("not_found", {"detail": "There is no schedule '12'.", "code": "not_found"})],
)
_MISSING: Final = {404: _GONE}
_SCHEDULE: Final = OpenApiResponse(ScheduleSerializer, "The schedule.", [OpenApiExample("schedule", SCHEDULE)])
_FIRED: Final = OpenApiResponse(FiringSerializer, "It submitted jobs.", [OpenApiExample("firing", _FIRING)])
_NOT_FIRED: Final = OpenApiResponse(FiringSerializer, "It submitted none; `outcome` and `note` say why.")
_NEXT: Final = OpenApiResponse(PreviewSerializer, "", [OpenApiExample("preview", _PREVIEW)])
_CHANGE: Final[dict[str, Any]] = {
    "parameters": _ID,
    "request": ScheduleSerializer,
    "responses": writing({200: _SCHEDULE}, _MISSING),
}
_SWITCH: Final[dict[str, Any]] = {
    "parameters": _ID,
    "request": None,
    "responses": writing({200: _SCHEDULE}, _MISSING),
}

_DESCRIPTIONS = {
    "list": extend_schema(parameters=_FILTERS, filters=False, responses=reading(ScheduleSerializer(many=True))),
    "create": extend_schema(
        examples=[OpenApiExample("nightly", _NEW, request_only=True)], responses=writing({201: _SCHEDULE})
    ),
    "retrieve": extend_schema(parameters=_ID, responses=reading(_SCHEDULE, _MISSING)),
    "update": extend_schema(**_CHANGE),
    "partial_update": extend_schema(
        **_CHANGE, examples=[OpenApiExample("later", {"cron": "0 3 * * *"}, request_only=True)]
    ),
    "destroy": extend_schema(parameters=_ID, responses=writing({204: None}, _MISSING)),
    "pause": extend_schema(**_SWITCH),
    "resume": extend_schema(**_SWITCH),
    "fire": extend_schema(parameters=_ID, request=None, responses=writing({201: _FIRED, 202: _NOT_FIRED}, _MISSING)),
    "firings": extend_schema(parameters=_ID, responses=reading(FiringSerializer(many=True), _MISSING)),
}


class DescribeSchedules(OpenApiViewExtension):  # type: ignore[no-untyped-call]
    """Attaches the descriptions to the routes of schedules."""

    target_class = "django_jobs.api.schedules.ScheduleViewSet"

    def view_replacement(self) -> Any:
        class Described(self.target_class):  # type: ignore[name-defined, misc]
            @extend_schema(methods=["GET"], parameters=_RULE_PARAMETERS, request=None, responses=reading(_NEXT))
            @extend_schema(
                methods=["POST"],
                request=RuleSerializer,
                examples=[OpenApiExample("rule", _RULE, request_only=True)],
                responses=writing({200: _NEXT}),
            )
            def preview(self, request: Any, **kwargs: Any) -> Any:
                """What a rule says in words, and its next five firings. Nothing is stored."""
                return super().preview(request, **kwargs)

            preview.mapping = self.target_class.preview.mapping  # type: ignore[attr-defined]
            preview.url_path, preview.url_name = "preview", "preview"  # type: ignore[attr-defined]

        return extend_schema_view(**_DESCRIPTIONS)(Described)
