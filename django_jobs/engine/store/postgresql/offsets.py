"""Rows in the order of an index, also where nothing is known of the tables' sizes."""

from __future__ import annotations

import re
from typing import Any, Final

from django.core.exceptions import EmptyResultSet
from django.db.models import QuerySet

from django_jobs.engine.store.base import Store

_BOUND: Final = re.compile(r"(LIMIT|OFFSET) (\d+)(?=(?: OFFSET \d+)?\Z)")


class Offsets(Store):
    """Hides limit and offset from the planner.

    Without statistics it takes a table's parts for smaller than these. It then reads all rows of the part, and sorts
    them, instead of walking the index that has them in order. For a bound that it cannot know, it walks.
    """

    def sql_in_order(self, rows: QuerySet[Any, Any]) -> tuple[str, tuple[Any, ...]]:
        sql, params = super().sql_in_order(rows)
        return _BOUND.sub(r"\1 (SELECT \2)", sql), params

    def read_in_order(self, rows: QuerySet[Any, Any]) -> list[tuple[Any, ...]]:
        try:
            sql, params = self.sql_in_order(rows)
        except EmptyResultSet:
            return []
        with self.connection.cursor() as cursor:
            cursor.execute(sql, params)
            return list(cursor.fetchall())

    def read_behind(self, rows: QuerySet[Any, Any], offset: int) -> list[tuple[Any, ...]]:
        try:
            sql, params = rows.query.sql_with_params()
        except EmptyResultSet:
            return []
        known = f"OFFSET {offset}"
        if sql.count(known) != 1:  # no offset at all, if it is 0
            return list(rows)
        with self.connection.cursor() as cursor:
            cursor.execute(sql.replace(known, f"OFFSET (SELECT {offset})"), params)
            return list(cursor.fetchall())
