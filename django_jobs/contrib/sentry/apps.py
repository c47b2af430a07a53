"""Switching it on where Sentry is set up only after Django."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.exceptions import ImproperlyConfigured


class SentryConfig(AppConfig):
    name = "django_jobs.contrib.sentry"
    label = "django_jobs_sentry"

    def ready(self) -> None:
        try:
            from django_jobs.contrib.sentry import events
        except ImportError as error:
            raise ImproperlyConfigured(
                "django_jobs.contrib.sentry needs Sentry's SDK, 2.0 or later: "
                f"pip install --upgrade sentry-sdk ({error})."
            ) from error
        events.install()
