"""Checks of the database, and of how moments are stored in it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register


@register("django_jobs", "database")
def check_database(databases: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """Refuse MySQL, which lacks what the engine builds on, a lossy isolation level, and a local time zone of the
    database.
    """
    from django.db import connections, router

    from django_jobs.engine.store.database import store_of
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
    if store_of(alias).hides_changes():
        return [
            Error(
                f"DATABASES[{alias!r}] has an isolation level in which equal jobs may be accepted twice.",
                hint="Leave isolation_level out of its OPTIONS (Django then takes READ COMMITTED), or set "
                "innodb_snapshot_isolation = ON on the server.",
                id="django_jobs.E020",
            )
        ]
    return _wrong_zone(alias, connection.settings_dict.get("TIME_ZONE"))


def _wrong_zone(alias: str, zone: str | None) -> list[CheckMessage]:
    if zone in {None, "UTC"}:
        return []
    return [
        Error(
            f"DATABASES[{alias!r}]['TIME_ZONE'] is {zone!r}; django_jobs keeps its times in UTC.",
            hint="Leave it out. The host's own TIME_ZONE may be anything.",
            id="django_jobs.E015",
        )
    ]


@register("django_jobs")
def check_time_zones(**kwargs: Any) -> list[CheckMessage]:
    """Require aware times, so that neither a time zone nor daylight saving time moves a job."""
    if settings.USE_TZ:
        return []
    return [Error("django_jobs needs aware times.", hint="Set USE_TZ = True, Django's default.", id="django_jobs.E008")]
