"""What models ask of the engine, which stands above them. :mod:`django_jobs.apps` fills it in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet


class _Hooks:
    organizations_seen_by: Callable[[Any], QuerySet[Any] | None]
    path_problem: Callable[[str], str | None]


_hooks = _Hooks()


def connect(
    organizations_seen_by: Callable[[Any], QuerySet[Any] | None], path_problem: Callable[[str], str | None]
) -> None:
    """Register who knows which organizations a user may see, and what is wrong with a handler's dotted path."""
    _hooks.organizations_seen_by, _hooks.path_problem = organizations_seen_by, path_problem


def organizations_seen_by(user: Any) -> QuerySet[Any] | None:
    """Return the organizations whose jobs this user may see; None for all of them."""
    return _hooks.organizations_seen_by(user)


def path_problem(path: str) -> str | None:
    """Return what is wrong with a handler's dotted path, in words; None when it is fine."""
    return _hooks.path_problem(path)
