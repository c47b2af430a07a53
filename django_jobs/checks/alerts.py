"""The check of the setting ALERTS."""

from __future__ import annotations

from typing import Any, Final

from django.core.checks import CheckMessage, Error, register

_EXAMPLE: Final = "Write it as {'dead_letters': {'count': 500}, 'breaker_open': None}; leave out what has its default."


@register("django_jobs")
def check_alerts(**kwargs: Any) -> list[CheckMessage]:
    """Require rules that there are, and thresholds that make sense."""
    from django_jobs.engine.alerts.rules import problems

    return [Error(f"DJANGO_JOBS['ALERTS'] {text}.", hint=_EXAMPLE, id="django_jobs.E025") for text in problems()]
