from __future__ import annotations

from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from example_project.entrance import Entrance
from example_project.shop.security import strict

# Where the settings leave the discovery out, as for a worker: whoever loads these addresses wants to know the pages.
admin.autodiscover()

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("example_project.shop.urls")),
    # The language switch of the pages.
    path("i18n/", include("django.conf.urls.i18n")),
    path("admin/", admin.site.urls),
    path("django-rq/", include("django_rq.urls")),
    path("api/", Entrance.as_view(), name="api"),
    path("api/", include("django_jobs.api.urls")),
    path("api/method/", include("django_jobs.api.method_urls")),
    path("health/", include("django_jobs.api.health_urls")),
    path("", include("django_jobs.api.metrics_urls")),
    # Logging in and out of the browsable API.
    path("api/auth/", include("rest_framework.urls")),
]

if settings.HAS_OPENAPI:
    from drf_spectacular.views import SpectacularSwaggerSplitView

    from example_project.schema import RememberedSchema

    # The one whose script is a file of its own, so that the page keeps the policy of all our pages.
    docs = SpectacularSwaggerSplitView.as_view(url_name="schema", template_name="shop/api_docs.html")
    urlpatterns += [
        path("api/schema/", RememberedSchema.as_view(), name="schema"),
        path("api/docs/", strict(docs), name="docs"),
    ]
