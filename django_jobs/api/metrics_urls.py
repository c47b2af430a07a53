"""``path("", include("django_jobs.api.metrics_urls"))``: ``metrics``, for system admins and who has METRICS_TOKEN."""

from __future__ import annotations

from django.urls import path

from django_jobs.api.probes import MetricsView

app_name = "django_jobs_metrics"

urlpatterns = [path("metrics", MetricsView.as_view(), name="metrics")]
