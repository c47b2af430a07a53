"""Counts rows up to a cap, so that it costs the same however many there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.core.exceptions import EmptyResultSet
from django.db.models import QuerySet

from django_jobs.engine.store import database

#: The cap.
MAX_COUNT: Final = 10_000


def capped_count(queryset: QuerySet[Any]) -> tuple[int, bool]:
    """Return how many rows there are, counted up to ``MAX_COUNT``, and whether there are more."""
    count = queryset.order_by()[: MAX_COUNT + 1].count()
    return min(count, MAX_COUNT), count > MAX_COUNT


def capped_counts(querysets: Sequence[QuerySet[Any]], most: int) -> list[int]:
    """Return how many rows each has, counted up to ``most`` and one more, by one statement.

    All are read where jobs are written.
    """
    parts, values, found = [], [], []
    for number, queryset in enumerate(querysets):
        query = queryset.using(database.alias()).order_by().values("pk")[: most + 1].query
        try:
            sql, told = query.get_compiler(database.alias()).as_sql()
        except EmptyResultSet:  # nothing can match, so there is nothing to ask
            continue
        # The ORM cannot say this: it counts no limited rows inside another statement.
        parts.append(f"(SELECT COUNT(*) FROM ({sql}) counted_{number})")
        values += told
        found.append(number)
    counts = [0] * len(querysets)
    if parts:
        with database.connection().cursor() as cursor:
            cursor.execute(f"SELECT {', '.join(parts)}", values)
            for number, count in zip(found, cursor.fetchone(), strict=True):
                counts[number] = count
    return counts
