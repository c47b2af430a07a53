"""The start page of the API, its schema and its documentation. None of them needs a login."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.urls import URLPattern, path
from django.utils.translation import get_language
from rest_framework.permissions import AllowAny
from rest_framework.routers import APIRootView

from example_project.shop.security import strict


class BackgroundJobs(APIRootView):
    """List where everything is that is there. This page needs no login; the pages behind it do."""

    permission_classes = [AllowAny]
    api_root_dict = {
        "jobs": "django_jobs:job-list",
        "metrics": "django_jobs:job-metrics",
        "operations": "django_jobs:operation-list",
        "batches": "django_jobs:batch-list",
        "schedules": "django_jobs:schedule-list",
        "job-types": "django_jobs:jobtype-list",
        "alerts": "django_jobs:alert-list",
        "schema": "schema",
        "docs": "docs",
    }


urlpatterns: list[URLPattern] = [path("", BackgroundJobs.as_view(), name="api")]
if settings.HAS_OPENAPI:
    from drf_spectacular.generators import SchemaGenerator
    from drf_spectacular.utils import extend_schema
    from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

    @cache
    def made_once(renderer: Any, _language: str | None) -> bytes:
        generator: Any = SchemaGenerator
        text: bytes = renderer().render(generator().get_schema(public=True))
        return text

    class RememberedSchema(SpectacularAPIView):
        """Makes the schema once for a format and a language: that takes 0.2 s of CPU, and strangers may ask for it."""

        @extend_schema(exclude=True)
        def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
            renderer: Any = type(request.accepted_renderer)
            text = made_once(renderer, get_language())
            return HttpResponse(text, content_type=f"{renderer.media_type}; charset=utf-8")

    # The one whose script is a file of its own, so that the page keeps the policy of all our pages.
    docs = SpectacularSwaggerSplitView.as_view(url_name="schema", template_name="shop/api_docs.html")
    urlpatterns += [
        path("schema/", RememberedSchema.as_view(), name="schema"),
        path("docs/", strict(docs), name="docs"),
    ]
