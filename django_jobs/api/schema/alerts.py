"""The route of alarms."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.extensions import OpenApiViewExtension
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view

from django_jobs.api.alerts import AlertSerializer
from django_jobs.api.schema.answers import reading
from django_jobs.engine.alerts.rules import RULES

ALERT: Final[dict[str, Any]] = {
    "id": 17,
    "rule": "type_failing",
    "subject": "send_welcome_email",
    "text": "send_welcome_email: 863 of 863 attempts failed since 02:12 UTC. InvalidMailer: connection refused. "
    "2 organizations.",
    "since": "2026-01-05T02:12:00Z",
    "raised_at": "2026-01-05T02:13:20Z",
    "seen_at": "2026-01-05T03:01:10Z",
    "cleared_at": None,
    "organizations": {"ORG-2026-00001": 500, "ORG-2026-00002": 363},
    "facts": {
        "since": "2026-01-05T02:12:00+00:00",
        "failed": 863,
        "attempts": 863,
        "fingerprint": "3f0c8a5e1f0b7d1c9a4e2b6d8c7f5a31",
        "error": "InvalidMailer",
        "exception": "InvalidMailer: connection refused",
    },
}
_FILTERS: Final = [
    OpenApiParameter("rule", str, enum=list(RULES)),
    OpenApiParameter("is_open", bool, description="False: those that were over within the last day."),
]
_LIST: Final = OpenApiResponse(AlertSerializer(many=True), "", [OpenApiExample("alert", ALERT)])


class DescribeAlerts(OpenApiViewExtension):  # type: ignore[no-untyped-call]
    """Attaches the description to the route of alarms."""

    target_class = "django_jobs.api.alerts.AlertViewSet"

    def view_replacement(self) -> Any:
        class Described(self.target_class):  # type: ignore[name-defined, misc]
            pass

        return extend_schema_view(list=extend_schema(parameters=_FILTERS, responses=reading(_LIST)))(Described)
