"""Checks of the setting HANDLER_LOGS."""

from __future__ import annotations

import logging
from typing import Any

from django.core.checks import CheckMessage, Error, Warning, register

from django_jobs.conf import jobs_settings
from django_jobs.engine.execution.handler_logs import DEFAULTS, read_limits


@register("django_jobs")
def check_handler_logs(**kwargs: Any) -> list[CheckMessage]:
    """Require None, or a dict that says what is kept; warn where the host's logging lets less through."""
    try:
        limits = read_limits()
    except (TypeError, ValueError) as error:
        return [
            Error(
                f"DJANGO_JOBS['HANDLER_LOGS'] {error}: {jobs_settings.HANDLER_LOGS!r}.",
                hint=f"Write a dict such as {DEFAULTS!r}; each key may be left out. None keeps nothing.",
                id="django_jobs.E028",
            )
        ]
    if limits is None or logging.root.level <= limits.level:
        return []
    return [
        Warning(
            f"DJANGO_JOBS['HANDLER_LOGS'] keeps lines from {logging.getLevelName(limits.level)} on, and the root "
            f"logger lets through only those from {logging.getLevelName(logging.root.level)} on.",
            hint="Set its level in LOGGING, such as {'root': {'level': 'INFO', 'handlers': [...]}}. A logger with a "
            "level of its own goes by that.",
            id="django_jobs.W029",
        )
    ]
