"""Finds jobs by the values of their parameters. No index serves that, so the caller bounds how many are looked at."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any, Final

from django.db.models import Q, QuerySet
from django.db.models.fields.json import KeyTransform

from django_jobs.engine.job_types.masking import Names, masked

#: Levels of a path such as ``customer.id``.
MAX_LEVELS: Final = 5
#: Digits of a path's part, which is then a place in a list. Databases refuse larger ones.
MAX_PLACE: Final = 6
MAX_NUMBER: Final = 30
_NAME: Final = re.compile(r"[^\s.:\"\\\x00-\x1f]{1,100}")
_NUMBER: Final = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?", re.ASCII)


def path_of(text: str) -> tuple[str, ...] | None:
    """Return the names that lead to a value, such as ``("customer", "id")`` of ``customer.id``; None if it is no path.

    A part of ASCII digits is a place in a list, counted from 0.
    """
    parts = tuple(text.split("."))
    return parts if len(parts) <= MAX_LEVELS and all(map(_is_part, parts)) else None


def _is_part(text: str) -> bool:
    if _NAME.fullmatch(text) is None:
        return False
    try:
        int(text)  # as Django does, to tell a place from a name
    except ValueError:
        return True
    return text.isascii() and text.isdecimal() and len(text) <= MAX_PLACE


def meanings_of(text: str) -> list[Any]:
    """Return the JSON values that a typed text may mean: itself, and the number or truth value that it spells.

    In double quotation marks it means the text between them alone.
    """
    if len(text) > 1 and text[0] == text[-1] == '"':
        return [text[1:-1]]
    found: list[Any] = [text]
    if text in {"true", "false"}:
        found.append(text == "true")
    elif len(text) <= MAX_NUMBER and _NUMBER.fullmatch(text):
        number = json.loads(text)
        found += [number] if math.isfinite(number) else []
    return found


def asks_for_hidden(path: Sequence[str], text: str, names: Names) -> bool:
    """Return whether this asks for a value under one of these keys: by its path, or within the text of an object or a
    list, which some databases take for equal to the object or list itself.
    """
    is_named = not names.isdisjoint(name.casefold() for name in path)
    return is_named or any(masked(found, names) != found for found in map(_in_json, meanings_of(text)))


def _in_json(value: Any) -> Any:
    """Return what a text says as JSON; None where it is none."""
    try:
        return json.loads(value) if isinstance(value, str) else None
    except (ValueError, RecursionError):
        return None


def having(rows: QuerySet[Any], path: Sequence[str], text: str) -> QuerySet[Any]:
    """Return those of the jobs whose parameter at this path has a value that the text may mean."""
    return holding(rows, "input_parameters", path, meanings_of(text))


def holding(rows: QuerySet[Any], column: str, path: Sequence[str], values: Sequence[Any]) -> QuerySet[Any]:
    """Return those of the jobs that have one of these values at this path in a column of JSON."""
    place: Any = column
    for part in path:
        place = KeyTransform(part, place)
    # One name for each condition, so that several may stand beside each other.
    name = f"value_{len(rows.query.annotations)}"
    wanted = Q()
    for value in values:
        wanted |= Q((name, value))
    found: QuerySet[Any] = rows.alias(**{name: place}).filter(wanted)
    return found
