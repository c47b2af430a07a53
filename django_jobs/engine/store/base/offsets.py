"""Rows in the order of an index: the first ones, and those behind others."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from django_jobs.engine.store.base.transactions import Transactions


class Offsets(Transactions):
    """Reads the beginning of an index, or what lies so many entries behind it."""

    def sql_in_order(self, rows: QuerySet[Any, Any]) -> tuple[str, tuple[Any, ...]]:
        """Return SQL and parameters of a sliced queryset whose rows an index has in their order.

        Raises EmptyResultSet where nothing can match.
        """
        sql, params = rows.query.get_compiler(self.alias).as_sql()
        return sql, tuple(params)

    def read_in_order(self, rows: QuerySet[Any, Any]) -> list[tuple[Any, ...]]:
        """Return the rows of a sliced ``values_list`` that an index has in their order."""
        return list(rows)

    def read_behind(self, rows: QuerySet[Any, Any], offset: int) -> list[tuple[Any, ...]]:
        """Return the rows of a ``values_list``, in which a slice that begins at the offset occurs once."""
        return list(rows)
