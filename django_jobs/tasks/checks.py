"""System checks of the backend's options. Django asks each backend for its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.checks import CheckMessage, Error

from django_jobs.engine.job_types import declared_types
from django_jobs.tasks import organizations
from django_jobs.tasks.framework import InvalidTask, InvalidTaskBackend
from django_jobs.tasks.options import OF_BACKEND, refuse_contradictions, type_fields


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
    return [
        Error(f"{place}: {problem}", hint="See docs/tasks.md for what each option takes.", id="django_jobs.E044")
        for problem in [*_value_problems(place, options), *_organization_problems(alias, options)]
    ]


def _value_problems(place: str, options: Mapping[str, Any]) -> list[str]:
    try:
        refuse_contradictions(place, options)
    except InvalidTask as error:
        return [str(error)]
    return declared_types.value_problems(type_fields(options))


def _organization_problems(alias: str, options: Mapping[str, Any]) -> list[str]:
    named = options.get("organization")
    try:
        if isinstance(named, str):
            organizations.function_at(named, alias)
    except InvalidTaskBackend as error:
        return [str(error)]
    return []
