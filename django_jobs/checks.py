"""System checks: what is wrong with the host's settings, before it costs a job."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from django_jobs.conf import (
    DEFAULT_ORGANIZATION_MODEL,
    DEFAULTS,
    jobs_settings,
    organization_model_name,
)
from django_jobs.statuses import Priority


@register("django_jobs")
def check_setting_names(**kwargs: Any) -> list[CheckMessage]:
    """Every key of DJANGO_JOBS is one that we read."""
    unknown = sorted(set(getattr(settings, "DJANGO_JOBS", {})) - set(DEFAULTS))
    return [
        Warning(
            f"DJANGO_JOBS has an unknown setting {name!r}.",
            hint=f"Known are: {', '.join(sorted(DEFAULTS))}.",
            id="django_jobs.W001",
        )
        for name in unknown
    ]


@register("django_jobs")
def check_queues(**kwargs: Any) -> list[CheckMessage]:
    """Each priority has its queue, and each queue its connection in RQ_QUEUES."""
    queues = jobs_settings.QUEUES
    missing = [label for label in Priority.labels if label not in queues]
    if missing:
        return [
            Error(
                f"DJANGO_JOBS['QUEUES'] names no queue for {', '.join(missing)}.",
                hint="Map each of Critical, High, Normal and Low to an RQ queue.",
                id="django_jobs.E001",
            )
        ]
    configured = getattr(settings, "RQ_QUEUES", {})
    return [
        Error(
            f"RQ_QUEUES does not define the queue {name!r} of priority {label}.",
            hint="Add it to RQ_QUEUES; all four queues use the same connection.",
            id="django_jobs.E002",
        )
        for label, name in queues.items()
        if name not in configured
    ]


@register("django_jobs")
def check_access_policy(**kwargs: Any) -> list[CheckMessage]:
    """A swapped organization model needs a policy that knows it."""
    if organization_model_name() != DEFAULT_ORGANIZATION_MODEL and not jobs_settings.ACCESS_POLICY:
        return [
            Error(
                "DJANGO_JOBS_ORGANIZATION_MODEL is swapped, but DJANGO_JOBS['ACCESS_POLICY'] is not set.",
                hint="Name a subclass of django_jobs.AccessPolicy that knows your organizations and their members.",
                id="django_jobs.E003",
            )
        ]
    return []


@register("django_jobs", "database")
def check_database(databases: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """MySQL is refused: it lacks what the engine builds on."""
    from django.db import connections, router

    from django_jobs.models import Job

    alias = router.db_for_write(Job)
    if alias not in (databases or []):
        return []
    connection: Any = connections[alias]
    if connection.vendor == "mysql" and not connection.mysql_is_mariadb:
        return [
            Error(
                "django_jobs does not run on MySQL.",
                hint="Use PostgreSQL 14 or later, MariaDB 10.6 or later, or SQLite.",
                id="django_jobs.E004",
            )
        ]
    return []
