"""Counts rows up to a cap, so that it costs the same however many there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.core.exceptions import EmptyResultSet
from django.db.models import QuerySet

from django_jobs.engine.store import database
from django_jobs.engine.store.chosen import store

#: The cap.
MAX_COUNT: Final = 10_000


def capped_count(queryset: QuerySet[Any]) -> tuple[int, bool]:
    """Return how many rows there are, counted up to ``MAX_COUNT``, and whether there are more."""
    count = queryset.order_by()[: MAX_COUNT + 1].count()
    return min(count, MAX_COUNT), count > MAX_COUNT


def capped_counts(querysets: Sequence[QuerySet[Any]], most: int) -> list[int]:
    """Return how many rows each has, counted up to ``most`` and one more, by one statement.

    All are read where jobs are written, and in their order, if they have one: it leads the database to an index.
    """
    parts, values, places = _parts(querysets, most + 1)
    counts = [0] * len(querysets)
    if parts:
        # The ORM cannot say this: it counts no limited rows inside another statement.
        counted = ", ".join(
            f"(SELECT COUNT(*) FROM ({sql}) counted_{place})" for sql, place in zip(parts, places, strict=True)
        )
        with database.connection().cursor() as cursor:
            cursor.execute(f"SELECT {counted}", values)
            for place, count in zip(places, cursor.fetchone(), strict=True):
                counts[place] = count
    return counts


def newest_keys(querysets: Sequence[QuerySet[Any]], most: int) -> list[int]:
    """Return the largest primary keys of all rows that the querysets have, each of which has its newest rows first.

    They are read by one statement, where jobs are written.
    """
    parts, values, places = _parts(querysets, most)
    if not parts:
        return []
    union = " UNION ALL ".join(f"SELECT * FROM ({sql}) part_{place}" for sql, place in zip(parts, places, strict=True))
    with database.connection().cursor() as cursor:
        cursor.execute(union, values)
        return sorted({pk for (pk,) in cursor.fetchall()}, reverse=True)[:most]


def _parts(querysets: Sequence[QuerySet[Any]], most: int) -> tuple[list[str], list[Any], list[int]]:
    """Return SQL of the primary keys of the first rows of each, its parameters, and which of them may have any."""
    parts: list[str] = []
    values: list[Any] = []
    places: list[int] = []
    for place, queryset in enumerate(querysets):
        try:
            sql, told = store().sql_in_order(queryset.using(database.alias()).values("pk")[:most])
        except EmptyResultSet:  # nothing can match, so there is nothing to ask
            continue
        parts.append(sql)
        values += told
        places.append(place)
    return parts, values, places
