from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

# Where the settings leave the discovery out, as for a worker: whoever loads these addresses wants to know the pages.
admin.autodiscover()

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("example_project.shop.urls")),
    path("admin/", admin.site.urls),
    path("django-rq/", include("django_rq.urls")),
    path("api/", include("example_project.api")),
    path("api/", include("django_jobs.api.urls")),
    path("api/method/", include("django_jobs.api.method_urls")),
    path("health/", include("django_jobs.api.health_urls")),
    path("", include("django_jobs.api.metrics_urls")),
    # Logging in and out of the browsable API.
    path("api/auth/", include("rest_framework.urls")),
]
