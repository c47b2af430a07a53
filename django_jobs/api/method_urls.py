"""The method endpoints: ``path("api/method/", include("django_jobs.api.method_urls"))``.

The setting ``METHOD_PREFIX`` is read when this is imported.
"""

from __future__ import annotations

from django.urls import path

from django_jobs.api.methods import METHODS
from django_jobs.conf import jobs_settings

app_name = "django_jobs_methods"

urlpatterns = [
    path(f"{jobs_settings.METHOD_PREFIX}.{name}", view.as_view(), name=name) for name, view in METHODS.items()
]
