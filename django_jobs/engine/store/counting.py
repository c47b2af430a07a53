"""Counting rows no further than is of use, so that it costs the same however many there are."""

from __future__ import annotations

from typing import Any, Final

from django.db.models import QuerySet

#: Counting ends here.
MAX_COUNT: Final = 10_000


def capped_count(queryset: QuerySet[Any]) -> tuple[int, bool]:
    """How many rows there are, counted up to ``MAX_COUNT``, and whether there are more than that."""
    count = queryset.order_by()[: MAX_COUNT + 1].count()
    return min(count, MAX_COUNT), count > MAX_COUNT
