"""Checks of the settings of the REST API and the websocket."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from django.core.checks import CheckMessage, Error, register

from django_jobs.conf import jobs_settings

SCOPES = ("submit", "submit_items", "status", "list", "cancel", "metrics")
_RATE = re.compile(r"\d+/[smhd][a-z]*\Z")


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
    wrong = [origins] if isinstance(origins, str) else [origin for origin in origins if not _is_origin(origin)]
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
