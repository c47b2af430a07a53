"""Counts rows up to a cap, so that it costs the same however many there are."""

from __future__ import annotations

from typing import Any, Final

from django.db.models import QuerySet

#: The cap.
MAX_COUNT: Final = 10_000


def capped_count(queryset: QuerySet[Any]) -> tuple[int, bool]:
    """Return how many rows there are, counted up to ``MAX_COUNT``, and whether there are more."""
    count = queryset.order_by()[: MAX_COUNT + 1].count()
    return min(count, MAX_COUNT), count > MAX_COUNT
