"""Settings of the bare project. What a bare host would not use cannot even be imported here."""

from __future__ import annotations

import os

import dj_database_url

from tests.bare.hiding import hide

# The packages of the doors that are not installed, and what the tests' environment has beside them.
hide(
    "channels",
    "channels_redis",
    "django_filters",
    "drf_spectacular",
    "opentelemetry",
    "prometheus_client",
    "rest_framework",
    "sentry_sdk",
    "socketio",
)

SECRET_KEY = "tests-only"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django_jobs", "tests.bare"]
DATABASES = {"default": dict(dj_database_url.parse(os.environ.get("DATABASE_URL", "sqlite://:memory:")))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
_REDIS_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")
RQ_QUEUES = {name: {"URL": _REDIS_URL} for name in ("jobs-critical", "jobs-high", "jobs-normal", "jobs-low")}
USE_TZ = True
