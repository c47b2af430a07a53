"""``path("health/", include("django_jobs.api.health_urls"))``: ``live`` and ``ready``, open to everybody."""

from __future__ import annotations

from django.urls import path

from django_jobs.api import probes

app_name = "django_jobs_health"

urlpatterns = [
    path("live", probes.live, name="live"),
    path("ready", probes.ready, name="ready"),
]
