"""Job types that code declares beside their handlers, and where the declarations are looked for.

Decorating only takes notes, so that it works before the app registry is ready. System checks judge what was noted,
and migrating brings it into the database (``declared_types``).
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypedDict, TypeVar, Unpack

from django.apps import apps
from django.utils.module_loading import autodiscover_modules

F = TypeVar("F", bound=Callable[..., Any])


class TextFields(TypedDict, total=False):
    """What people read of a type: text, or a lazy translation of one."""

    display_name: Any
    description: Any


class DefaultFields(TypedDict, total=False):
    """What a job of the type gets where its submission says nothing else."""

    default_priority: str | int
    default_timeout: int


class RetryFields(TypedDict, total=False):
    """How a failed attempt is tried again. Each job keeps a copy, in a field of the same name, from its submission."""

    max_retries: int
    retry_delay: int


class AccessFields(TypedDict, total=False):
    """Who may submit the type."""

    submit_by: str
    requires_permission: str


class LimitFields(TypedDict, total=False):
    """How often the type may be submitted."""

    deduplication_window: int
    rate_limit: int | None
    rate_limit_window: int


class StateFields(TypedDict, total=False):
    """Whether the type takes submissions and starts jobs."""

    is_enabled: bool
    is_paused: bool


class JobTypeFields(TextFields, DefaultFields, RetryFields, AccessFields, LimitFields, StateFields, total=False):
    """What a declaration may say of its type; what it does not say is the model's default, and ``submit_by`` code."""


#: Where code that says nothing means something else than a row that is made by hand.
DEFAULTS: Final = {"submit_by": "code"}
FIELDS: Final = tuple(JobTypeFields.__annotations__)
RETRY_FIELDS: Final = tuple(RetryFields.__annotations__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """One ``@job_handler``: the type's name, its function, and what is said of it. ``place`` is for people."""

    type_name: str
    function: Callable[..., Any]
    serializer: Any
    fields: dict[str, Any]
    path: str
    place: str


#: By type name, then by place: more than one place is a mistake, which a check reports.
_declared: dict[str, dict[str, Declaration]] = {}


def job_handler(
    type_name: str, *, parameters: type[Any] | None = None, **fields: Unpack[JobTypeFields]
) -> Callable[[F], F]:
    """Declare the job type ``type_name``, whose handler is the decorated function; that is returned as it is.

    ``parameters`` is a serializer class of the REST framework, which validates every submission; ``fields`` are
    those of the Job Type. Users may submit it only if ``submit_by`` says so: ``"members"`` or ``"admins"`` of the
    organization. The default is ``"code"``: server code without a user. ``migrate`` makes the row and keeps it up to
    date, but for fields that an administrator has changed. Raises TypeError for an unknown field and for what is no
    function; system checks judge the values.
    """
    if not isinstance(type_name, str):
        raise TypeError('@job_handler needs the name of a job type: @job_handler("make_report").')
    unknown = sorted(set(fields) - set(FIELDS))
    if unknown:
        raise TypeError(
            f"@job_handler({type_name!r}) does not take {', '.join(unknown)}; a job type has {', '.join(FIELDS)}."
        )

    def declare(function: F) -> F:
        if not inspect.isroutine(function):
            raise TypeError(f"@job_handler({type_name!r}) decorates a function, not {function!r}.")
        declaration = Declaration(
            type_name=type_name,
            function=function,
            serializer=parameters,
            fields=dict(fields),
            path=f"{function.__module__}.{function.__qualname__}",
            place=_place(function),
        )
        _declared.setdefault(type_name, {})[declaration.place] = declaration
        return function

    return declare


def _place(function: Callable[..., Any]) -> str:
    code = getattr(inspect.unwrap(function), "__code__", None)
    line = f" (line {code.co_firstlineno})" if code is not None else ""
    return f"{function.__module__}.{function.__qualname__}{line}"


def get(type_name: str) -> Declaration | None:
    """What code declares of this type; None when it declares nothing."""
    found = _declared.get(type_name)
    return next(reversed(found.values())) if found else None


def declared() -> list[Declaration]:
    """Every declaration, by the type's name; of one that is declared twice the latest."""
    return [next(reversed(_declared[name].values())) for name in sorted(_declared)]


def duplicates() -> dict[str, list[str]]:
    """The types that are declared more than once, and where."""
    return {name: list(found) for name, found in sorted(_declared.items()) if len(found) > 1}


def discover() -> None:
    """Import the ``jobs`` module of each installed app; of a package also what lies in it.

    What fails to be imported raises: a declaration that is silently missing would be a riddle.
    """
    autodiscover_modules("jobs")
    for config in apps.get_app_configs():
        package = getattr(config.module, "jobs", None)
        if inspect.ismodule(package) and package.__name__ == f"{config.name}.jobs":
            for name in _modules_in(package):
                importlib.import_module(name)


def _modules_in(package: Any) -> Iterator[str]:
    """The modules below a package; not its tests, which ask for more than production has."""
    for found in pkgutil.iter_modules(getattr(package, "__path__", ()), f"{package.__name__}."):
        name = found.name.rpartition(".")[2]
        if name in {"tests", "conftest", "__main__"} or name.startswith("test_"):
            continue
        yield found.name
        if found.ispkg:
            yield from _modules_in(importlib.import_module(found.name))
