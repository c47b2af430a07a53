"""In which order rows of the Execution Log become visible, exactly.

Each row has its transaction's id and that of the oldest transaction that was open when it was written: whoever saw the
row has seen every transaction older than that one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet

from django_jobs.engine.store.base import Store
from django_jobs.engine.store.log_values import Horizon
from django_jobs.models import ExecutionLog


class LogOrder(Store):
    """Reading the log so that nothing is overlooked. An organization's marks are ids of transactions."""

    def log_horizon(self) -> Horizon:
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_snapshot_xmax(s)::text::bigint, pg_snapshot_xmin(s)::text::bigint "
                "FROM pg_current_snapshot() s"
            )
            next_id, oldest_open = cursor.fetchone()
        return Horizon(next_id=next_id, oldest_open=oldest_open)

    def last_event(self, organization_pk: Any) -> int:
        if organization_pk is None:
            return super().last_event(organization_pk)
        # Not by both columns at once: that may sort all rows of the organization. A restored row has no transaction.
        rows = self.log_of(organization_pk)
        last = rows.filter(transaction_id__isnull=False).order_by("-transaction_id").values("transaction_id")[:1]
        return rows.filter(transaction_id=last).order_by("-id").values_list("id", flat=True).first() or 0

    def log_of(self, organization_pk: Any) -> QuerySet[ExecutionLog]:
        rows = ExecutionLog.primary.all()
        return rows if organization_pk is None else rows.filter(organization_id=organization_pk)

    def events_behind(self, organization_pk: Any, since: int) -> QuerySet[ExecutionLog]:
        known = ExecutionLog.primary.filter(id__lte=since, oldest_open_id__isnull=False).order_by("-id")
        oldest = known.values_list("oldest_open_id", flat=True).first()
        return self.log_of(organization_pk).filter(transaction_id__gte=oldest or 0)

    def log_mark(self, organization_pk: Any) -> int:
        """Return the oldest transaction that is open; for everybody's log the last id, as base does."""
        if organization_pk is None:
            return super().log_mark(None)
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
            return int(cursor.fetchone()[0])

    def events_since(self, organization_pk: Any, marks: Sequence[int]) -> QuerySet[ExecutionLog]:
        if organization_pk is None:
            return super().events_since(None, marks)
        return self.log_of(organization_pk).filter(transaction_id__gte=marks[-1])

    def marks_kept(self, organization_pk: Any) -> int:
        return super().marks_kept(None) if organization_pk is None else 1
