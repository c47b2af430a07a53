"""Checks that our queues are in one Redis database, and that not all staff see django-rq's pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Warning, register

from django_jobs import pools
from django_jobs.broker.rq_pages import GUARDED
from django_jobs.conf import jobs_settings
from django_jobs.mounted_views import find_views
from django_jobs.statuses import Priority


@register("django_jobs")
def check_one_redis(**kwargs: Any) -> list[CheckMessage]:
    """Warn of a queue in another Redis database than the Normal one, whose connection is used for all of them."""
    given, queues = getattr(settings, "RQ_QUEUES", None), jobs_settings.QUEUES
    if not isinstance(queues, Mapping) or not all(isinstance(name, str) for name in queues.values()):
        return []  # as another check says
    normal = queues.get(Priority.NORMAL.word)
    entries = given.items() if isinstance(given, Mapping) else ()
    configured = {name: config for name, config in entries if isinstance(config, Mapping)}
    if normal not in configured:
        return []
    place = _place(configured[normal])
    ours = [*queues.values(), *(name for pool in pools.configured() for name in pools.queue_names(pool))]
    return [
        Warning(
            f"RQ_QUEUES has {name!r} in another Redis database than {normal!r}, whose connection serves all of ours.",
            hint="Give all queues of ours the same connection; of the others only RQ's own tools would take notice.",
            id="django_jobs.W012",
        )
        for name in ours
        if name in configured and _place(configured[name]) != place
    ]


@register("django_jobs")
def check_django_rq_pages(**kwargs: Any) -> list[CheckMessage]:
    """Warn of pages of django-rq that our guard did not find."""
    pages = [view for view in find_views() if str(getattr(view, "__module__", "")).partition(".")[0] == "django_rq"]
    unguarded = sorted({view.__name__ for view in pages if not hasattr(view, GUARDED)})
    if not unguarded:
        return []
    return [
        Warning(
            f"django-rq's pages are open to every staff user: {', '.join(unguarded[:5])}.",
            hint=(
                "They empty queues and stop workers. django_jobs guards the views that it finds in django-rq; these it "
                "did not find. Unmount them, or wrap them in a check that asks the access policy's is_system_admin."
            ),
            id="django_jobs.W013",
        )
    ]


def _place(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the server and the database of a queue's connection, in django-rq's order of precedence."""
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
    except ValueError:  # it is no URL, as the first connection will say
        return (url,)


def _host(name: str | None) -> str:
    return "127.0.0.1" if name in {None, "", "localhost"} else str(name)
