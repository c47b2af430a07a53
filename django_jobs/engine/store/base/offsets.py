"""Rows behind others, in the order of an index."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from django_jobs.engine.store.base.transactions import Transactions


class Offsets(Transactions):
    """Reads what lies so many entries behind the beginning of an index."""

    def read_behind(self, rows: QuerySet[Any, Any], offset: int) -> list[tuple[Any, ...]]:
        """Return the rows of a ``values_list``, in which a slice that begins at the offset occurs once."""
        return list(rows)
