"""Job types that code declares beside their handlers."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypedDict, TypeVar, Unpack

from django.apps import apps
from django.utils.module_loading import autodiscover_modules

# Job types that code declares beside their handlers, and finding those declarations.
#
# The decorator only remembers what it is given, so that it works before the app registry is ready. System checks judge
# the declarations, and ``migrate`` brings them into the database (``declared_types``).


F = TypeVar("F", bound=Callable[..., Any])


class JobTypeFields(TypedDict, total=False):
    """What a declaration may say of its type; what it does not say is the model's default, and ``submit_by`` code."""

    # Text for people, or a lazy translation of one.
    display_name: Any
    description: Any
    # What a job of the type gets where its submission says nothing else.
    default_priority: str | int
    default_timeout: int
    # How a failed attempt is tried again: RETRY_FIELDS.
    max_retries: int
    retry_delay: int
    # Which users may submit the type.
    submit_by: str
    requires_permission: str
    # How often the type may be submitted.
    deduplication_window: int
    rate_limit: int | None
    rate_limit_window: int
    # How many of its jobs may run and start at once; the others wait.
    max_running: int | None
    max_running_per_organization: int | None
    concurrency_key: str
    max_running_per_key: int
    max_starts: int | None
    max_starts_per_key: int | None
    max_starts_window: int
    # When its jobs are held because they fail one after the other.
    breaker_failures: int
    breaker_pause: int
    # Which workers run its jobs.
    pool: str
    # How long its ended jobs are kept.
    retention_days: int | None
    # Whether the type takes submissions, and whether it starts jobs.
    is_enabled: bool
    is_paused: bool


#: Defaults of a declaration that differ from those of a row that is made by hand.
DECLARED_DEFAULTS: Final = {"submit_by": "code"}
DECLARED_FIELDS: Final = tuple(JobTypeFields.__annotations__)
#: Each job keeps a copy of these, in a field of the same name, from its submission.
RETRY_FIELDS: Final = ("max_retries", "retry_delay")


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """One use of ``@job_handler``. ``path`` is the function's dotted path; ``place`` adds the line, for people."""

    type_name: str
    function: Callable[..., Any]
    serializer: Any
    fields: dict[str, Any]
    path: str
    place: str
    #: What it says of schedules, as it was given.
    schedules: tuple[Any, ...] = ()


#: By type name, then by place: more than one place is a mistake, which a check reports.
_declared: dict[str, dict[str, Declaration]] = {}
#: What finds declarations that are none of these, by its name.
_sources: dict[str, Callable[[], list[Declaration]]] = {}


def job_handler(
    type_name: str, *, parameters: type[Any] | None = None, schedule: Any = None, **fields: Unpack[JobTypeFields]
) -> Callable[[F], F]:
    """Declare the job type ``type_name`` with the decorated function as its handler; return a decorator.

    ``parameters`` is a serializer class of the REST framework, which validates every submission; ``fields`` are
    those of the Job Type. Users may submit it only if ``submit_by`` says so: ``"members"`` or ``"admins"`` of the
    organization. The default is ``"code"``: server code without a user. ``migrate`` makes the row and keeps it up to
    date, except for fields that an administrator has changed. The function itself stays as it is.

    ``schedule`` makes schedules of the type in the same way, for each active organization: a cron expression, an
    interval such as ``every(minutes=5)``, a dict of :func:`~django_jobs.schedule_job`'s keywords, or a list of these.

    Raises TypeError for an unknown field, and for anything but a function; system checks judge the values.
    """
    if not isinstance(type_name, str):
        raise TypeError('@job_handler needs the name of a job type: @job_handler("make_report").')
    unknown = sorted(set(fields) - set(DECLARED_FIELDS))
    if unknown:
        raise TypeError(
            f"@job_handler({type_name!r}) does not take {', '.join(unknown)}; "
            f"a job type has {', '.join(DECLARED_FIELDS)}."
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
            schedules=_items(schedule),
        )
        _declared.setdefault(type_name, {})[declaration.place] = declaration
        return function

    return declare


def _items(schedule: Any) -> tuple[Any, ...]:
    if schedule is None:
        return ()
    return tuple(schedule) if isinstance(schedule, list | tuple) else (schedule,)


def _place(function: Callable[..., Any]) -> str:
    code = getattr(inspect.unwrap(function), "__code__", None)
    line = f" (line {code.co_firstlineno})" if code is not None else ""
    return f"{function.__module__}.{function.__qualname__}{line}"


def declaration_of(type_name: str) -> Declaration | None:
    """Return the declaration of this type; None when code declares none."""
    found = _declared.get(type_name)
    return next(reversed(found.values())) if found else None


def declared_types() -> list[Declaration]:
    """Return every declaration, in the order of the types' names; of several for one type, the latest."""
    return [next(reversed(_declared[name].values())) for name in sorted(_declared)]


def add_declaration_source(find: Callable[[], list[Declaration]]) -> None:
    """Have ``find`` asked whenever rows are made of declarations: it returns good ones that stand elsewhere."""
    _sources[find.__qualname__] = find


def found_elsewhere() -> list[Declaration]:
    """Return what the sources find, such as Django's tasks. Nobody needs their rows before they are submitted."""
    return [declaration for find in _sources.values() for declaration in find()]


def duplicate_declarations() -> dict[str, list[str]]:
    """Return the types that are declared more than once, each with its places."""
    return {name: list(found) for name, found in sorted(_declared.items()) if len(found) > 1}


def discover_declarations() -> None:
    """Import the ``jobs`` module of each installed app, and all modules in it where it is a package.

    An error of an import is raised: a declaration that is silently missing would be hard to find.
    """
    autodiscover_modules("jobs")
    for config in apps.get_app_configs():
        package = getattr(config.module, "jobs", None)
        if inspect.ismodule(package) and package.__name__ == f"{config.name}.jobs":
            for name in _modules_in(package):
                importlib.import_module(name)


def _modules_in(package: Any) -> Iterator[str]:
    """Yield the modules below a package, except its tests: those import what production does not have."""
    for found in pkgutil.iter_modules(getattr(package, "__path__", ()), f"{package.__name__}."):
        name = found.name.rpartition(".")[2]
        if name in {"tests", "conftest", "__main__"} or name.startswith("test_"):
            continue
        yield found.name
        if found.ispkg:
            yield from _modules_in(importlib.import_module(found.name))
