"""Read-only lines of a page. Each says which fields it tells, and is left out where they are empty."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterable
from typing import Any, Final, TypeVar

from django.contrib import admin
from django.utils.safestring import SafeString

from django_jobs.admin.formatting import line, moment
from django_jobs.engine.observers import without_carried

Line = TypeVar("Line", bound=Callable[..., Any])

EMPTY: Final[tuple[Any, ...]] = (None, "", 0, {})


def fact(label: Any, *tells: str, always: bool = False) -> Callable[[Line], Line]:
    """Make a method of an admin a line that ``tells`` these fields.

    It is left out where the first of them is empty, unless it is ``always`` there.
    """

    def mark(method: Line) -> Line:
        method.tells, method.is_always_there = tells, always  # type: ignore[attr-defined]
        return admin.display(description=label)(method)

    return mark


def field(label: Any, name: str, show: Callable[[Any], SafeString | str]) -> Callable[[Any, Any], SafeString | str]:
    """Make a line that tells one field of the row as ``show`` writes it."""

    def shown(_: Any, row: Any) -> SafeString | str:
        return show(getattr(row, name))

    return fact(label, name)(shown)


def other(name: str, value: Any) -> Callable[[Any], SafeString | str]:
    """Make a line for a value that no method tells."""

    def shown(_: Any) -> SafeString | str:
        return moment(value) if isinstance(value, dt.datetime) else line(str(value))

    shown.__name__ = name
    return admin.display(description=name.replace("_", " "))(shown)


def says_nothing(method: Any, *sources: Any) -> bool:
    """Return whether the first field that the line tells is empty, in the first of the sources that has it."""
    if getattr(method, "is_always_there", True):
        return False
    name = method.tells[0]
    return without_carried(next(getattr(source, name) for source in sources if hasattr(source, name))) in EMPTY


def without(fields: Iterable[Any], hidden: Collection[Any]) -> tuple[Any, ...]:
    """Return the lines of a fieldset, each alone or several beside each other, that are not hidden."""
    found: list[Any] = []
    for item in fields:
        names = tuple(name for name in (item if isinstance(item, tuple) else [item]) if name not in hidden)
        found += [names[0] if len(names) == 1 else names] if names else []
    return tuple(found)
