"""Columns of our tables as SQL names and fills them, read from the models."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from django.db import connections, models

#: What a log row says of its transaction, and of the oldest one that is open beside it.
OWN_TRANSACTION: Final = "pg_current_xact_id()::text::bigint"
OLDEST_OPEN: Final = "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"


class Column(NamedTuple):
    """A column's name, its type without a length, which would cut silently, and whether it holds JSON."""

    name: str
    kind: str
    is_json: bool


@functools.cache
def columns_of(model: type[models.Model], alias: str) -> dict[str, Column]:
    """Return the columns of a model by the names of the attributes that hold their values."""
    return {
        field.attname: Column(
            f'"{field.column}"',
            without_length(str(field.db_type(connections[alias]))),
            isinstance(field, models.JSONField),
        )
        for field in model._meta.concrete_fields
    }


def without_length(kind: str) -> str:
    """Return the type of values of any length, for ``char(26)`` and such, which a host's keys may be."""
    name = kind.partition("(")[0].strip()
    return _OF_ANY_LENGTH.get(name, name)


#: Types that are of length one where none is given.
_OF_ANY_LENGTH: Final = {"char": "bpchar", "character": "bpchar", "bit": "varbit"}


@functools.cache
def next_key(model: type[models.Model], alias: str) -> str:
    """Return SQL for the next key of a model, which a statement gives to a row before it inserts that row.

    Where a restored or partitioned table's sequence is nobody's own, that is what the column's default says. Either
    way it names the schema only where the search path does not lead there, as it does to the table: a host may give
    each of its customers a schema. A role that is not the table's owner needs USAGE of the sequence.
    """
    table = f'"{model._meta.db_table}"'
    with connections[alias].cursor() as cursor:
        cursor.execute(_NEXT_KEY, [table, table])
        return str(cursor.fetchone()[0]).replace("%", "%%")


_NEXT_KEY: Final = """
    SELECT coalesce(
        'nextval(' || quote_literal(pg_get_serial_sequence(%s, 'id')::regclass::text) || ')', (
            SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d
            JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
            WHERE a.attrelid = %s::regclass AND a.attname = 'id'
        )
    )
"""


def insert(model: type[models.Model], given: Mapping[str, str], source: str) -> str:
    """Return an INSERT of rows that a SELECT makes: ``given`` are its expressions, by the names of attributes.

    Every other column gets what the model says. Only the key may be left to the database.
    """
    unknown = given.keys() - {field.attname for field in model._meta.concrete_fields}
    if unknown:
        raise ValueError(f"{model.__name__} has no {', '.join(sorted(unknown))}")
    values = {
        f'"{field.column}"': given.get(field.attname) or _literal(field)
        for field in model._meta.concrete_fields
        if field.attname in given or not field.primary_key
    }
    return f'INSERT INTO "{model._meta.db_table}" ({", ".join(values)}) SELECT {", ".join(values.values())} {source}'


def _literal(field: models.Field[Any, Any]) -> str:
    """Return a field's default as SQL."""
    value = field.get_default()
    if value is None:
        return "NULL"
    if isinstance(value, bool | int):
        return str(value).lower()
    text = json.dumps(value) if isinstance(value, dict | list) else str(value)
    return "'" + text.replace("'", "''").replace("%", "%%") + "'"
