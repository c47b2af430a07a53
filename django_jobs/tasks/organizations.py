"""Whose job a task becomes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from django.utils.module_loading import import_string

from django_jobs.engine import organizations
from django_jobs.engine.claimed_job import current_job
from django_jobs.exceptions import OrganizationNotFound
from django_jobs.models import get_organization_model
from django_jobs.tasks.framework import InvalidTaskBackend
from django_jobs.texts import say


def organization_for(named: Any, alias: str) -> Any:
    """Return the organization of a new job, an id or an instance, for what ``@task`` or the backend's options name.

    It is the one that they name, or that the function returns which they name; else that of the job whose handler
    enqueues; else the system organization. Raises OrganizationNotFound where none of them is.
    """
    found = _said_by(named, alias)
    if found is not None:
        return found
    claimed = current_job.get()
    if claimed is not None:
        return get_organization_model()(pk=claimed.organization_pk)
    found = organizations.system_id()
    if found is not None:
        return found
    text = say(
        "Whose job is it? Let TASKS[%(alias)r]['OPTIONS']['organization'] name an organization or a function that "
        "returns one, call using(organization=…), or set DJANGO_JOBS['SYSTEM_ORGANIZATION'].",
        code="no_organization",
        alias=alias,
    )
    raise OrganizationNotFound({"organization": [text]})


def _said_by(named: Any, alias: str) -> Any:
    if callable(named):
        return named()
    function = function_at(named, alias) if isinstance(named, str) else None
    return named if function is None else function()


@functools.lru_cache(maxsize=100)
def function_at(path: str, alias: str) -> Callable[[], Any] | None:
    """Return the function of a dotted path; None for a text that is none, but an id.

    A text is a path where its first part is a module that is there. Raises InvalidTaskBackend for one that leads to no
    function.
    """
    if not all(part.isidentifier() for part in path.split(".")) or "." not in path or not _is_module(path):
        return None
    try:
        found = import_string(path)
    except ImportError as error:
        text = "TASKS[%(alias)r]: the organization %(path)r cannot be imported: %(error)s"
        raise InvalidTaskBackend(say(text, code="not_importable", alias=alias, path=path, error=str(error))) from error
    if not callable(found):
        text = "TASKS[%(alias)r]: the organization %(path)r is no function."
        raise InvalidTaskBackend(say(text, code="not_a_function", alias=alias, path=path))
    return found  # type: ignore[no-any-return]


def _is_module(path: str) -> bool:
    try:
        return find_spec(path.partition(".")[0]) is not None
    except (ImportError, ValueError):
        return False
