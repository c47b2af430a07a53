"""Switching traces on."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.exceptions import ImproperlyConfigured


class OpenTelemetryConfig(AppConfig):
    name = "django_jobs.contrib.opentelemetry"
    label = "django_jobs_opentelemetry"

    def ready(self) -> None:
        # Not above: the engine has models, which are not there yet when this module is loaded.
        from django_jobs.engine import observers

        try:
            from django_jobs.contrib.opentelemetry.tracing import TRACER
        except ImportError as error:
            raise ImproperlyConfigured(
                "django_jobs.contrib.opentelemetry needs OpenTelemetry's API: "
                f"pip install 'django-durable-jobs[opentelemetry]' ({error})."
            ) from error
        observers.add(TRACER)
