"""Settings that are lists of names."""

from __future__ import annotations

from django.core.checks import CheckMessage, Error

from django_jobs.conf import jobs_settings


def check_list(setting: str, what: str, example: str, check_id: str) -> list[CheckMessage]:
    """Tell of a setting that is no list of names: a forgotten comma leaves one text, whose letters would count."""
    names = getattr(jobs_settings, setting)
    if isinstance(names, list | tuple | set | frozenset) and all(isinstance(name, str) for name in names):
        return []
    return [
        Error(
            f"DJANGO_JOBS[{setting!r}] must be a list of {what}, not {names!r}.",
            hint=f'For a single one write ("{example}",).',
            id=check_id,
        )
    ]
