"""Rows behind others, in the order of an index, also where nothing is known of the tables' sizes."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db.models import QuerySet

from django_jobs.engine.store.base import Store


class Offsets(Store):
    """Hides the offset from the planner.

    Without statistics it takes a table's parts for smaller than the offset. It then reads all rows of the part, and
    sorts them, instead of walking the index that has them in order. For an offset that it cannot know, it walks.
    """

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
