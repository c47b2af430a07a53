"""Rows as a statement takes them: what all share as one parameter, and the rest column by column, as one text each.

A text takes a fraction of the time that the driver needs for a list: it writes each element by itself.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

#: Types whose text, in quotes, is what PostgreSQL reads.
_PLAIN: Final = frozenset({int, bool, dt.datetime, uuid.UUID})


class Slot(NamedTuple):
    """How the values of one column get into a statement: by a parameter for all rows, or as a column of each."""

    name: str
    kind: str
    is_json: bool
    is_shared: bool

    def __str__(self) -> str:
        """Return the SQL of the value."""
        if self.is_shared:
            return f"%({self.name})s::{self.kind}"
        return f"NULLIF({self.name}, 'null')" if self.is_json else self.name

    @property
    def column(self) -> str:
        """Return SQL of the function whose rows are the values."""
        return (
            f"jsonb_array_elements(%({self.name})s::jsonb)"
            if self.is_json
            else f"unnest(%({self.name})s::{self.kind}[])"
        )


def unnested(slots: Iterable[Slot]) -> str:
    """Return SQL of rows, as many as the parameter ``count`` says, with a ``place`` and what is not the same in all."""
    own = [slot for slot in slots if not slot.is_shared]
    functions = ["generate_series(1, %(count)s::bigint)", *(slot.column for slot in own)]
    names = ["place", *(slot.name for slot in own)]
    return f"ROWS FROM ({', '.join(functions)}) AS given({', '.join(names)})"


def array(values: Sequence[Any]) -> str | list[Any]:
    """Return an array of these values: PostgreSQL's text of it, or a list for the driver to write. JSON has its own."""
    found = set(values)
    try:
        elements = {value: _element(value) for value in found}
    except NotImplementedError:
        return list(values)
    return f"{{{','.join(map(elements.__getitem__, values))}}}"


def json_array(texts: Iterable[str]) -> str:
    """Return a JSON array of values that are JSON already."""
    return f"[{','.join(texts)}]"


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        text = str.__str__(value).replace("\\", "\\\\").replace('"', '\\"')
        return f'"{text}"'
    if type(value) in _PLAIN:
        return f'"{value}"'
    raise NotImplementedError
