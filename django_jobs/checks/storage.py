"""Checks of what is stored where: databases, files, pools, alarms."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.files.storage import FileSystemStorage

from django_jobs import pools
from django_jobs.conf import DEFAULT_POOL, jobs_settings, output_storage
from django_jobs.statuses import Priority

# The check that nobody can read the files of jobs without a check of permissions.


@register("django_jobs", Tags.security)
def check_output_storage(**kwargs: Any) -> list[CheckMessage]:
    """Warn of a storage that seems to serve its files by URLs of its own: only our views check permissions."""
    name = jobs_settings.OUTPUT_STORAGE
    try:
        storage = output_storage()
    except Exception as error:  # noqa: BLE001  (the host's storage may raise anything while it is made)
        text = f"DJANGO_JOBS['OUTPUT_STORAGE'] names {name!r}, which cannot be used: {error}"
        return [Error(text, hint="Name an alias of STORAGES.", id="django_jobs.E013")]
    reason = _public_because(storage)
    if reason is None:
        return []
    return [
        Warning(
            f"The files of jobs are kept in the storage {name!r}, which seems to be served publicly: {reason}.",
            hint="Name a private storage of its own in STORAGES, and that alias in DJANGO_JOBS['OUTPUT_STORAGE'].",
            id="django_jobs.W010",
        )
    ]


def _public_because(storage: Any) -> str | None:
    """Return why the storage seems to be public, as far as settings tell; None if it does not."""
    if isinstance(storage, FileSystemStorage):
        place = Path(storage.location).resolve()
        if _lies_in(place, "STATIC_ROOT"):
            return "it lies in STATIC_ROOT"
        # An unset MEDIA_URL is "/" to Django.
        if str(settings.MEDIA_URL) not in {"", "/"} and _lies_in(place, "MEDIA_ROOT"):
            return "it lies in MEDIA_ROOT, and MEDIA_URL is set"
        return None
    # The attributes are those of the backends of django-storages.
    if str(getattr(storage, "default_acl", None) or "").startswith("public"):
        return "its default_acl is public"
    return "its URLs are not signed" if getattr(storage, "querystring_auth", True) is False else None


def _lies_in(place: Path, setting: str) -> bool:
    root: Any = getattr(settings, setting, None)
    return bool(root) and place.is_relative_to(Path(root).resolve())


# Checks of the database, and of how moments are stored in it.


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


# The check of the setting ALERTS.


_ALERTS_EXAMPLE: Final = (
    "Write it as {'dead_letters': {'count': 500}, 'breaker_open': None}; leave out what has its default."
)


@register("django_jobs")
def check_alerts(**kwargs: Any) -> list[CheckMessage]:
    """Require rules that there are, and thresholds that make sense."""
    from django_jobs.engine.alerts.rules import problems

    return [Error(f"DJANGO_JOBS['ALERTS'] {text}.", hint=_ALERTS_EXAMPLE, id="django_jobs.E025") for text in problems()]


# Checks of the setting POOLS.


_POOLS_EXAMPLE: Final = (
    "Write it as {'gpu': {}}, or name queues of its own: {'gpu': {'QUEUES': {'High': 'gpu-high', …}}}."
)


@register("django_jobs")
def check_pools(**kwargs: Any) -> list[CheckMessage]:
    """Require names that queues and workers can have, and for each pool queues that no other one has."""
    value = jobs_settings.POOLS
    if not isinstance(value, Mapping):
        text = f"DJANGO_JOBS['POOLS'] must be a dict of pools by their names, not {value!r}."
        return [Error(text, hint=_POOLS_EXAMPLE, id="django_jobs.E023")]
    problems = [(name, text) for name, pool in value.items() for text in _problems(name, pool)]
    found: list[CheckMessage] = [
        Error(f"DJANGO_JOBS['POOLS'] has {name!r}, {text}.", hint=_POOLS_EXAMPLE, id="django_jobs.E023")
        for name, text in problems
    ]
    return found or _shared_queues()


def _problems(name: object, value: object) -> Iterator[str]:
    if not pools.is_name(name):
        yield f"which is no name of a pool: up to {pools.MAX_NAME} letters, digits, '_' and '-'"
    if not isinstance(value, Mapping):
        yield f"whose value is {value!r} and must be a dict"
        return
    if unknown := sorted(map(str, value.keys() - {"QUEUES"})):
        yield f"whose value has unknown keys: {', '.join(unknown)}"
    queues = value.get("QUEUES", {})
    if not isinstance(queues, Mapping):
        yield f"whose QUEUES are {queues!r} and must be a dict of queues by their priorities"
        return
    if queues and name == DEFAULT_POOL:
        yield "whose queues are those of DJANGO_JOBS['QUEUES']"
    if unknown := sorted(map(str, queues.keys() - set(Priority.words()))):
        yield f"whose QUEUES have unknown priorities: {', '.join(unknown)}. There are {', '.join(Priority.words())}"
    if bad := [queue for queue in queues.values() if not isinstance(queue, str) or not queue or set(queue) & set(" ,")]:
        yield f"whose QUEUES have {bad[0]!r}, which is no name of a queue"


def _shared_queues() -> list[CheckMessage]:
    queues = jobs_settings.QUEUES
    if not isinstance(queues, Mapping) or any(label not in queues for label in Priority.words()):
        return []  # as another check says
    sharing: dict[str, set[str]] = defaultdict(set)
    for queue, name in pools.named().items():
        sharing[name].add(queue.pool)
    return [
        Error(
            f"The pools {', '.join(map(repr, sorted(of)))} share the queue {name!r}.",
            hint="Give each pool queues of its own: a ticket tells nothing but where it lies.",
            id="django_jobs.E024",
        )
        for name, of in sharing.items()
        if len(of) > 1
    ]
