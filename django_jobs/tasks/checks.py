"""System checks of the backend's options. Django asks each backend for its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.core.checks import CheckMessage, Error, Warning

from django_jobs.engine.job_types.declared_types import declaration_doubts, value_problems
from django_jobs.tasks import enqueuing
from django_jobs.tasks.declaring import OF_BACKEND, refuse_contradictions, type_fields
from django_jobs.tasks.framework import InvalidTask, InvalidTaskBackend

#: The id of the check that says the same of a declared handler's pool.
UNKNOWN_POOL: Final = "django_jobs.W026"


def check_options(alias: str, options: Mapping[str, Any]) -> list[CheckMessage]:
    """Return what is wrong with a backend's options."""
    place = f"TASKS[{alias!r}]['OPTIONS']"
    known = ", ".join(sorted(OF_BACKEND))
    found: list[CheckMessage] = [
        Error(f"{place} has an unknown option {name!r}.", hint=f"Known are: {known}.", id="django_jobs.E043")
        for name in sorted(set(options) - OF_BACKEND)
    ]
    if found:
        return found
    found = [
        Error(f"{place}: {problem}", hint="See docs/tasks.md for what each option takes.", id="django_jobs.E044")
        for problem in [*_value_problems(place, options), *_organization_problems(alias, options)]
    ]
    return found or [
        Warning(
            f"{place}: {doubt}",
            hint="Add the pool to DJANGO_JOBS['POOLS'] and start workers for it, or name another.",
            id=UNKNOWN_POOL,
        )
        for doubt in declaration_doubts(type_fields(options))
    ]


def _value_problems(place: str, options: Mapping[str, Any]) -> list[str]:
    try:
        refuse_contradictions(place, options)
    except InvalidTask as error:
        return [str(error)]
    return value_problems(type_fields(options))


def _organization_problems(alias: str, options: Mapping[str, Any]) -> list[str]:
    named = options.get("organization")
    try:
        if isinstance(named, str):
            enqueuing.function_at(named, alias)
    except InvalidTaskBackend as error:
        return [str(error)]
    return []
