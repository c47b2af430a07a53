"""Settings of the bare project. What a bare host would not use cannot even be imported here."""

from __future__ import annotations

import importlib.abc
import os
import sys
from typing import Any, Final

import dj_database_url

#: Packages of the doors that are not installed, and what a test environment has beside them.
HIDDEN: Final = frozenset(
    {
        "channels",
        "channels_redis",
        "django_filters",
        "drf_spectacular",
        "opentelemetry",
        "prometheus_client",
        "rest_framework",
        "sentry_sdk",
        "socketio",
    }
)


class _Hides(importlib.abc.MetaPathFinder):
    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        if fullname.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


sys.meta_path.insert(0, _Hides())

SECRET_KEY = "tests-only"  # noqa: S105
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django_jobs", "tests.bare"]
DATABASES = {"default": dict(dj_database_url.parse(os.environ.get("DATABASE_URL", "sqlite://:memory:")))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
_REDIS_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")
RQ_QUEUES = {name: {"URL": _REDIS_URL} for name in ("jobs-critical", "jobs-high", "jobs-normal", "jobs-low")}
USE_TZ = True
