"""In which order rows of the Execution Log become visible.

Ids are handed out before their transaction commits, so a lower id may become visible after a higher one. Where the
database does not tell which transactions are open, a transaction is taken to have ended after OPEN_SECONDS. The ids of
one job are in order everywhere, because each change of a job waits for the one before.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final

from django.db.models import QuerySet

from django_jobs.engine.store.base.transactions import Transactions
from django_jobs.engine.store.log_values import Horizon
from django_jobs.models import ExecutionLog

#: After so long a transaction is taken to have ended.
OPEN_SECONDS: Final = 60.0
#: How many polls make up this time.
OPEN_POLLS: Final = 4


class LogOrder(Transactions):
    """Reading the log so that nothing is overlooked. An organization of None stands for everybody's log."""

    def log_horizon(self) -> Horizon:
        """Return which transactions may still be open, to be read outside a transaction of one's own."""
        now = self.now().timestamp()
        return Horizon(next_id=now, oldest_open=now - OPEN_SECONDS)

    def last_event(self, organization_pk: Any) -> int:
        """Return the id of an organization's newest row, 0 without any."""
        return _first_id(self.log_of(organization_pk).order_by("-id"))

    def log_of(self, organization_pk: Any) -> QuerySet[ExecutionLog]:
        """Return an organization's rows, so that the index on organization and transaction serves."""
        rows = ExecutionLog.primary.all()
        if organization_pk is None:
            return rows
        return rows.filter(organization_id=organization_pk, transaction_id__isnull=True)

    def events_behind(self, organization_pk: Any, since: int) -> QuerySet[ExecutionLog]:
        """Return an organization's rows that may have been invisible to a client that saw the row ``since``.

        If that row is gone, the newest one before it serves as well: it has fewer transactions behind it, so some
        events are told twice and none is missed.
        """
        rows = self.log_of(organization_pk)
        seen = ExecutionLog.primary.filter(id__lte=since).order_by("-id")
        moment = seen.values_list("timestamp", flat=True).first()
        if moment is None:
            return rows
        return rows.filter(id__gt=_first_id(seen.filter(timestamp__lt=moment - dt.timedelta(seconds=OPEN_SECONDS))))

    def log_mark(self, organization_pk: Any) -> int:
        """Return a mark of this moment: what becomes visible later is found behind it."""
        return _first_id(ExecutionLog.primary.order_by("-id"))

    def events_since(self, organization_pk: Any, marks: Sequence[int]) -> QuerySet[ExecutionLog]:
        """Return an organization's rows that may have become visible since the last of these marks.

        ``marks`` are those of the last polls, the newest last, as many as :meth:`marks_kept` says.
        """
        return self.log_of(organization_pk).filter(id__gt=marks[0])

    def marks_kept(self, organization_pk: Any) -> int:
        """Return how many marks a poll has to know."""
        return OPEN_POLLS


def _first_id(rows: QuerySet[ExecutionLog]) -> int:
    return rows.values_list("id", flat=True).first() or 0
