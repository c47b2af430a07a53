"""The start page of the API."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

LINKS: Final = {
    "jobs": "django_jobs:job-list",
    "metrics": "django_jobs:job-metrics",
    "operations": "django_jobs:operation-list",
    "batches": "django_jobs:batch-list",
    "schedules": "django_jobs:schedule-list",
    "job-types": "django_jobs:jobtype-list",
    "alerts": "django_jobs:alert-list",
}
OPENAPI_LINKS: Final = {"schema": "schema", "docs": "docs"}


class Entrance(APIView):
    """List where everything is. This page needs no login; the pages behind it do."""

    permission_classes = [AllowAny]
    schema = None

    def get_view_name(self) -> str:
        return "Background jobs"

    def get(self, request: Any) -> Response:
        links = {**LINKS, **(OPENAPI_LINKS if settings.HAS_OPENAPI else {})}
        return Response({title: reverse(name, request=request) for title, name in links.items()})
