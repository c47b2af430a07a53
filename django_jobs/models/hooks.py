"""What models ask of the engine, which stands above them. :mod:`django_jobs.apps` fills it in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from django.db.models import QuerySet


class BatchVerbs(Protocol):
    """What a batch can do."""

    def submit(self, batch: Any, job_type: Any, given: Mapping[str, Any]) -> Any:
        """Submit a job of the batch."""

    def submit_many(self, batch: Any, submissions: Iterable[Mapping[str, Any]]) -> list[Any]:
        """Submit many jobs of the batch."""

    def close(self, batch: Any) -> None:
        """Take no more jobs."""

    def leave(self, batch: Any, raised: type[BaseException] | None) -> None:
        """Close the batch at the end of a block, and cancel it if that raised."""


class _Hooks:
    organizations_seen_by: Callable[[Any], QuerySet[Any] | None]
    path_problem: Callable[[str], str | None]
    parameter_names: Callable[[str], frozenset[str] | None]
    batch_verbs: Callable[[], BatchVerbs]


_hooks = _Hooks()


def connect(
    organizations_seen_by: Callable[[Any], QuerySet[Any] | None],
    path_problem: Callable[[str], str | None],
    parameter_names: Callable[[str], frozenset[str] | None],
    batch_verbs: Callable[[], BatchVerbs],
) -> None:
    """Register who knows a user's organizations, what is wrong with a handler's dotted path, which parameters a type
    has, and where to get what a batch does, which is asked when it is needed.
    """
    _hooks.organizations_seen_by, _hooks.path_problem = organizations_seen_by, path_problem
    _hooks.parameter_names, _hooks.batch_verbs = parameter_names, batch_verbs


def batch_verbs() -> BatchVerbs:
    """Return what a batch can do."""
    return _hooks.batch_verbs()


def organizations_seen_by(user: Any) -> QuerySet[Any] | None:
    """Return the organizations whose jobs this user may see; None for all of them."""
    return _hooks.organizations_seen_by(user)


def path_problem(path: str) -> str | None:
    """Return what is wrong with a handler's dotted path, in words; None when it is fine."""
    return _hooks.path_problem(path)


def parameter_names(type_name: str) -> frozenset[str] | None:
    """Return the names of the parameters that a type takes; None where it takes any object."""
    return _hooks.parameter_names(type_name)
