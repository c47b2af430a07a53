"""That the four queues are in one Redis database, since one connection serves them all."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Warning, register

from django_jobs.conf import jobs_settings
from django_jobs.statuses import Priority


@register("django_jobs")
def check_one_redis(**kwargs: Any) -> list[CheckMessage]:
    """Each queue is where the Normal one is, whose connection is used for all of them."""
    configured, ours = getattr(settings, "RQ_QUEUES", {}), jobs_settings.QUEUES
    normal = ours.get(Priority.NORMAL.label)
    if normal not in configured:
        return []
    place = _place(configured[normal])
    return [
        Warning(
            f"RQ_QUEUES has {name!r} in another Redis database than {normal!r}, whose connection serves all four.",
            hint="Give all four queues the same connection; of the others only RQ's own tools would take notice.",
            id="django_jobs.W012",
        )
        for name in ours.values()
        if name in configured and _place(configured[name]) != place
    ]


def _place(config: dict[str, Any]) -> tuple[str, ...]:
    """The server and the database that a queue's connection leads to, in django-rq's order of precedence."""
    database = str(config.get("DB") or 0)
    if config.get("URL"):
        return _place_of_url(str(config["URL"]), database)
    if "USE_REDIS_CACHE" in config:
        return ("cache", str(config["USE_REDIS_CACHE"]))
    if "UNIX_SOCKET_PATH" in config:
        return (str(config["UNIX_SOCKET_PATH"]), database)
    if "SENTINELS" in config:
        return (str(config["SENTINELS"]), str(config.get("MASTER_NAME")), database)
    return (_host(config.get("HOST")), str(config.get("PORT") or 6379), database)


def _place_of_url(url: str, database: str) -> tuple[str, ...]:
    try:
        parts = urlsplit(url)
        named = parse_qs(parts.query).get("db", [""])[0]
        if parts.scheme == "unix":
            return (parts.path, named or database)
        return (_host(parts.hostname), str(parts.port or 6379), named or parts.path.strip("/") or database)
    except ValueError:  # no URL; the first connection says so
        return (url,)


def _host(name: str | None) -> str:
    return "127.0.0.1" if name in {None, "", "localhost"} else str(name)
