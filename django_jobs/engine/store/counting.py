"""Counting up to a cap, and finding rows by the time when they were made."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final, TypeVar

from django.core.exceptions import EmptyResultSet
from django.db.models import QuerySet

from django_jobs.engine import timing
from django_jobs.engine.store import database
from django_jobs.engine.store.database import store

# Counts rows up to a cap, so that it costs the same however many there are.


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


# Jobs or batches by the time they were made, without an index on it: an interpolation search over their ids.


#: Within so many ids a moment is not looked for more closely.
_NEAR: Final = 5_000
_LOOKUPS: Final = 12
_HALVING: Final = 4

#: No key is larger. A database that knows nothing of the keys takes what has one end for a third of all rows, and what
#: has two for a few: it then finds them by the index.
LAST_KEY: Final = 2**63 - 1

Rows = TypeVar("Rows", bound=QuerySet[Any])


def created_between(queryset: Rows, after: dt.datetime | None = None, before: dt.datetime | None = None) -> Rows:
    """The jobs or batches that were made at ``after`` or later, and before ``before``.

    No index on ``created_at`` is needed: ids are given out in the order of creation, so that the range of ids is
    found first, by a dozen look-ups for each end at most.
    """
    made: Any = queryset.model.primary.order_by("pk").values_list("pk", "created_at")
    if after is not None:
        first = _around(made, _shifted(after, -timing.ID_ORDER_SLACK))[0]
        queryset = queryset.filter(pk__gt=first, pk__lt=LAST_KEY, created_at__gte=after)
    if before is not None:
        last = _around(made, _shifted(before, timing.ID_ORDER_SLACK))[1]
        queryset = queryset.filter(created_at__lt=before)
        queryset = queryset if last is None else queryset.filter(pk__lte=last)
    return queryset


def _shifted(moment: dt.datetime, by: dt.timedelta) -> dt.datetime:
    """The moment so much later; at an end of time, where nothing was submitted, the moment itself."""
    try:
        return moment + by
    except OverflowError:
        return moment


def _around(rows: Any, moment: dt.datetime) -> tuple[int, int | None]:
    """Two primary keys: what was submitted before the moment lies up to the second (None: everywhere), and what was
    submitted since lies behind the first.
    """
    first, last = rows.first(), rows.last()
    if first is None or last is None or moment <= first[1]:
        return 0, None if first is None else first[0]
    if moment > last[1]:
        return last[0], None
    low, high = first, last
    lean = 0
    for lookup in range(_LOOKUPS):
        gap = high[0] - low[0]
        if gap <= _NEAR:
            break
        # By proportion, a little to the side of the end that is farther away; now and then by halves, for the sake of
        # times of uneven density.
        share = (moment - low[1]) / (high[1] - low[1])
        guess = gap // 2 if lookup % _HALVING == _HALVING - 1 else int(gap * share) + lean
        middle = low[0] + max(1, min(guess, gap - 1))
        found = rows.filter(pk__gte=middle).first()
        if found is None or found[1] >= moment:
            high, lean = (middle, high[1] if found is None else found[1]), -_NEAR // 2
        else:
            low, lean = found, _NEAR // 2
    return low[0], high[0]
