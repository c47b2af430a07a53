"""Finds out whether the tenant's model was swapped after the tables of jobs had been made."""

from __future__ import annotations

from typing import Any

from django_jobs.engine.store import database
from django_jobs.models import Membership, get_organization_model


def swapped_from() -> str | None:
    """Return the table that the first migration made memberships refer to, if that is not the tenant model's.

    A job's own column has no foreign key in the database, and its values would now mean other tenants.
    """
    connection = database.connection()
    table = Membership._meta.db_table
    with connection.cursor() as cursor:
        if table not in connection.introspection.table_names(cursor):
            return None  # not migrated yet: this is the moment to choose
        constraints = connection.introspection.get_constraints(cursor, table)
    column = Membership._meta.get_field("organization").column
    referred = [item["foreign_key"][0] for item in constraints.values() if _is_key_of(item, column)]
    names = {_plain(name) for name in referred}
    return referred[0] if referred and _plain(get_organization_model()._meta.db_table) not in names else None


def _is_key_of(constraint: dict[str, Any], column: str) -> bool:
    return bool(constraint["foreign_key"]) and list(constraint["columns"]) == [column]


def _plain(table: str) -> str:
    """Return the name without schema and quotes, which a host may give, and in the case that some MariaDBs keep."""
    return table.replace('"', "").replace("`", "").rpartition(".")[2].lower()
