"""Finding the jobs that were not started in time, by an index that holds only waiting jobs with such a moment."""

from __future__ import annotations

from typing import Final

from django.db.models import QuerySet

from django_jobs.engine.store.base.transactions import Transactions
from django_jobs.models import Job
from django_jobs.statuses import WAITING

#: Literal, as the index has it: SQLite uses a partial index for nothing else.
_WAITS: Final = f"status IN ({', '.join(repr(str(status)) for status in sorted(WAITING))})"


class Expirations(Transactions):
    """What waits and must have started by now."""

    def overdue_jobs(self, limit: int) -> list[int]:
        """Return the primary keys of up to ``limit`` waiting jobs whose ``expires_at`` has come."""
        return list(self.overdue_rows().values_list("pk", flat=True)[:limit])

    def overdue_rows(self) -> QuerySet[Job]:
        """Return the waiting jobs whose ``expires_at`` has come, the earliest first where there may be an order."""
        rows = Job.primary.extra(where=[_WAITS])  # noqa: S610  (no value is in it)
        return rows.filter(expires_at__isnull=False, expires_at__lte=self.now()).order_by("expires_at")
