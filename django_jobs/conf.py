"""The host project's ``DJANGO_JOBS`` setting, read live, with a typed default for every key."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import router

ORGANIZATION_SETTING: Final = "DJANGO_JOBS_ORGANIZATION_MODEL"
DEFAULT_ORGANIZATION_MODEL: Final = "django_jobs.Organization"

#: The pool that is always there.
DEFAULT_POOL: Final = "default"

DEFAULTS: Final[dict[str, Any]] = {
    "ACCESS_POLICY": None,
    "ORGANIZATION_ID_FIELD": "name",
    "HANDLER_MODULES": (),
    "QUEUES": {
        "Critical": "jobs-critical",
        "High": "jobs-high",
        "Normal": "jobs-normal",
        "Low": "jobs-low",
    },
    "POOLS": {},
    "ALERTS": {},
    "DEFAULT_TIMEOUT": 300,
    "MAX_RETRIES": 5,
    "RETRY_DELAY": 60,
    "RETRY_JITTER": 0.2,
    "MAX_RETRY_AFTER": 3600,
    "DEDUPLICATION_WINDOW": 300,
    "RETENTION_DAYS": 30,
    "LEASE_SECONDS": 30,
    "SCHEDULER_INTERVAL": 1.0,
    "PROGRESS_INTERVAL": 0.5,
    "CANCEL_GRACE_SECONDS": 10,
    "POLICY_SECONDS": 5,
    "SHUTDOWN_GRACE_SECONDS": 25,
    "MAX_IN_FLIGHT_PER_ORGANIZATION": 100,
    "MAX_BACKLOG_PER_ORGANIZATION": None,
    "MAX_SCHEDULES_PER_ORGANIZATION": 1000,
    "MIN_SCHEDULE_SECONDS": 10,
    "MAX_PARAMETERS_BYTES": 65536,
    "MAX_RESULT_BYTES": 1048576,
    "FOREIGN_RQ_JOBS": "set_aside",
    "SYSTEM_ORGANIZATION": None,
    "OUTPUT_STORAGE": "default",
    "SENSITIVE_PARAMETERS": (),
    "SHOW_ERROR_TEXT": False,
    "HANDLER_LOGS": None,
    "WEBSOCKET_ORIGINS": (),
    "METRICS_ORGANIZATIONS": 0,
    "METRICS_TOKEN": "",
    "METHOD_PREFIX": "dartwing.dartwing_core.api.jobs",
    "THROTTLE_RATES": {},
}


class JobsSettings:
    """Attribute access to ``settings.DJANGO_JOBS``: the host's value, else the default.

    Nothing is cached, so that ``override_settings`` and reloads are seen at once.
    """

    def __getattr__(self, name: str) -> Any:
        if name not in DEFAULTS:
            raise AttributeError(f"DJANGO_JOBS has no setting {name!r}")
        host = host_settings()
        return host.get(name, DEFAULTS[name])


jobs_settings = JobsSettings()


def host_settings() -> Mapping[str, Any]:
    """Return what the host has set. Raises ImproperlyConfigured when that is no dict."""
    host: object = getattr(settings, "DJANGO_JOBS", {})
    if isinstance(host, (dict, Mapping)):  # nearly always a dict, for which this is quicker
        return host
    raise ImproperlyConfigured(f"The setting DJANGO_JOBS must be a dict, not {host!r}.")


def organization_model_name() -> str:
    """Return the ``app_label.Model`` of the tenant's model."""
    return str(getattr(settings, ORGANIZATION_SETTING, DEFAULT_ORGANIZATION_MODEL))


def output_storage() -> Any:
    """Return the Django storage that holds the files that handlers save."""
    from django.core.files.storage import storages

    return storages[jobs_settings.OUTPUT_STORAGE]


@functools.cache
def _job_model() -> Any:
    return apps.get_model("django_jobs", "Job")


def primary_alias() -> str:
    """Return the alias of the database that jobs are written to."""
    return router.db_for_write(_job_model())
