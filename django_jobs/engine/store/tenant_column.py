"""Where a statement of our own finds the id that a job's tenant has now."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from django.db import connections

from django_jobs.conf import jobs_settings, primary_alias
from django_jobs.models import get_organization_model


class TenantColumn(NamedTuple):
    """Where a statement of our own finds the id: table, key and column, and what makes the value a text."""

    table: str
    key: str
    column: str
    read: Callable[[Any], str | None]


def tenant_column() -> TenantColumn:
    """Return it for a join on a job's ``organization_id``.

    The id may lie in a table that the tenant model inherits from.
    """
    return _column(get_organization_model(), str(jobs_settings.ORGANIZATION_ID_FIELD), primary_alias())


@functools.cache
def _column(model: Any, name: str, alias: str) -> TenantColumn:
    connection = connections[alias]
    field: Any = model._meta.pk if name == "pk" else model._meta.get_field(name)
    owner = field.model._meta
    expression = field.get_col(owner.db_table)
    # As the ORM reads a value: first what the database's driver needs, then what the field does itself.
    converters = [*connection.ops.get_db_converters(expression), *expression.get_db_converters(connection)]

    def read(value: Any) -> str | None:
        for convert in converters:
            value = convert(value, expression, connections[alias])  # this thread's
        return None if value is None else str(value)

    quote = connection.ops.quote_name
    return TenantColumn(quote(owner.db_table), quote(owner.pk.column), quote(field.column), read)
