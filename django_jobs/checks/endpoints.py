"""Checks of what the REST API and the websocket need: their settings, and the apps of the API's pages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from django.apps import apps
from django.core.checks import CheckMessage, Error, Warning, register

from django_jobs.conf import jobs_settings
from django_jobs.mounted_views import find_views

SCOPES = ("submit", "submit_items", "status", "list", "search", "cancel", "metrics")
_RATE = re.compile(r"\d+/[smhd][a-z]*\Z")
#: What may stand in an address as it is, and in Django's routes: no space, and nothing with a meaning there.
_PREFIX = re.compile(r"(?![./])[^\s<>?#%\\\x00-\x1f\x7f]+(?<![./])\Z")


@register("django_jobs")
def check_throttle_rates(**kwargs: Any) -> list[CheckMessage]:
    """Require that each rate has the REST framework's form and a scope that exists."""
    rates = jobs_settings.THROTTLE_RATES
    if not isinstance(rates, dict):
        return [_wrong_rate(f"must be a dict, not {rates!r}")]
    unknown = [_wrong_rate(f"has no scope {scope!r}") for scope in rates if scope not in SCOPES]
    return unknown + [
        _wrong_rate(f"[{scope!r}] is no rate: {rate!r}")
        for scope, rate in rates.items()
        if scope in SCOPES and rate is not None and not (isinstance(rate, str) and _RATE.match(rate))
    ]


def _wrong_rate(problem: str) -> CheckMessage:
    return Error(
        f"DJANGO_JOBS['THROTTLE_RATES'] {problem}.",
        hint=f"Scopes are {', '.join(SCOPES)}; a rate is e.g. '100/min', or None for no limit.",
        id="django_jobs.E016",
    )


@register("django_jobs")
def check_websocket_origins(**kwargs: Any) -> list[CheckMessage]:
    """Require whole origins: a part of one would never match a page."""
    origins = jobs_settings.WEBSOCKET_ORIGINS
    # Iterating over a single text would give its letters.
    is_list = isinstance(origins, Iterable) and not isinstance(origins, str | bytes)
    wrong = [origin for origin in origins if not _is_origin(origin)] if is_list else [origins]
    return [
        Error(
            f"DJANGO_JOBS['WEBSOCKET_ORIGINS'] holds {origin!r}, which is no list of origins or no origin.",
            hint="Write a list such as ['https://app.example.com', 'https://*.example.com'], without a path.",
            id="django_jobs.E017",
        )
        for origin in wrong
    ]


def _is_origin(origin: object) -> bool:
    if not isinstance(origin, str):
        return False
    try:
        parts = urlsplit(origin.replace("://*.", "://", 1))
        return bool(parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0 and not parts.path)
    except ValueError:  # no port
        return False


@register("django_jobs")
def check_method_prefix(**kwargs: Any) -> list[CheckMessage]:
    """Require a text that may stand in an address before the names of the method endpoints."""
    prefix = jobs_settings.METHOD_PREFIX
    if isinstance(prefix, str) and _PREFIX.match(prefix):
        return []
    return [
        Error(
            f"DJANGO_JOBS['METHOD_PREFIX'] must be a text that can stand in an address, not {prefix!r}.",
            hint="Write e.g. 'shop.api.jobs': no spaces, none of < > ? # % \\, and no dot or slash around it.",
            id="django_jobs.E030",
        )
    ]


@register("django_jobs")
def check_page_apps(**kwargs: Any) -> list[CheckMessage]:
    """Warn of apps that are not installed although pages of the REST API, which the host mounts, need their templates.

    The REST framework is not loaded for this: who mounts the API has loaded it.
    """
    missing = sorted({name for name in _apps_of_pages() if not apps.is_installed(name)})
    return [
        Warning(
            f"The REST API's pages need {name!r} in INSTALLED_APPS: a browser gets an error instead of them.",
            hint=(
                "Add it; or, for JSON alone, leave BrowsableAPIRenderer out of "
                "REST_FRAMEWORK['DEFAULT_RENDERER_CLASSES']."
            ),
            id="django_jobs.W031",
        )
        for name in missing
    ]


def _apps_of_pages() -> Iterator[str]:
    """Yield the apps from which the pages of the API's mounted views take templates."""
    for view in find_views():
        cls = getattr(view, "cls", None)
        if cls is None or not cls.__module__.startswith("django_jobs.api."):
            continue
        page = import_module("rest_framework.renderers").BrowsableAPIRenderer
        if any(issubclass(renderer, page) for renderer in cls.renderer_classes):
            yield "rest_framework"
            if getattr(cls, "filterset_class", None) is not None:
                yield "django_filters"
