"""The check of settings that are lists of names."""

from __future__ import annotations

from django.core.checks import CheckMessage, Error

from django_jobs.conf import jobs_settings


def check_list(setting: str, what: str, example: str, check_id: str) -> list[CheckMessage]:
    """Return an error if the setting is no list of names: with a forgotten comma it is one text, made of letters."""
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
