"""An organization's primary key, as models have it and as this database does."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from django.db import connections

from django_jobs.engine.store.base.transactions import Transactions
from django_jobs.models import Job


class OrganizationKeys(Transactions):
    """Keys of organizations as parameters of statements, and as rows give them."""

    def key_to_database(self, pk: Any) -> Any:
        """Return an organization's primary key as a parameter of a statement."""
        return _organization().field.get_db_prep_value(pk, self.connection)

    def key_from_database(self, value: Any) -> Any:
        """Return an organization's primary key as models have it: SQLite and MariaDB know no UUID, for one."""
        column = _organization()
        for convert in _converters(self.alias):
            value = convert(value, column.expression, self.connection)
        return value


class _Column:
    """The column of a job that has its organization's primary key."""

    def __init__(self) -> None:
        field: Any = Job._meta.get_field("organization")
        self.expression = field.get_col(Job._meta.db_table)
        self.field = self.expression.output_field


@functools.cache
def _organization() -> _Column:
    return _Column()


@functools.cache
def _converters(alias: str) -> tuple[Callable[..., Any], ...]:
    """What the ORM does to a value of that column that it reads: what the driver needs, then what the field does."""
    connection, expression = connections[alias], _organization().expression
    return (*connection.ops.get_db_converters(expression), *expression.get_db_converters(connection))
