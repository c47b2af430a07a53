"""In which order rows of the Execution Log become visible, exactly.

Each row has its transaction's id and that of the oldest transaction that was open when it was written: whoever saw the
row has seen every transaction older than that one. Each server counts its transactions from its own beginning. So the
rows of a dump that was restored on another one are told apart by their ids in the log. A copy of a server's disk has
its number, but a table that was restored there is a new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.db.models import BigIntegerField, CharField, F, Func, Q, QuerySet
from django.db.models.functions import Greatest

from django_jobs.engine.store.base import Store
from django_jobs.engine.store.log_values import Horizon
from django_jobs.models import ExecutionLog, Installation

#: No transaction whose rows the statement sees has this id yet, but for one of another server.
_NEXT: Final = Func(
    template="GREATEST(pg_snapshot_xmax(pg_current_snapshot())::text::bigint,"
    " pg_current_xact_id_if_assigned()::text::bigint + 1)",
    output_field=BigIntegerField(),
)
_SERVER: Final = Func(
    template="(SELECT system_identifier::text || '/' || tableoid FROM pg_control_system())",
    output_field=CharField(max_length=40),
)
#: Among so many of the newest rows those of another server are looked for, once.
_SEARCHED: Final = 1_000_000
#: The next transaction of this server, and the oldest that is open, but for those that are known to be of another
#: database and for one's own, which comes last.
_OPEN: Final = """
SELECT pg_snapshot_xmax(s)::text::bigint, (
    SELECT min(x::text::bigint) FROM pg_snapshot_xip(s) x WHERE x::xid NOT IN (
        SELECT l.transactionid FROM pg_locks l JOIN pg_stat_activity a USING (pid)
        WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND a.datname <> current_database()
        UNION ALL SELECT transaction FROM pg_prepared_xacts WHERE database <> current_database()
    )
), pg_current_xact_id_if_assigned()::text::bigint
FROM pg_current_snapshot() s
"""


class LogOrder(Store):
    """Reading the log so that nothing is overlooked. An organization's marks are ids of transactions."""

    def log_horizon(self) -> Horizon:
        self._foreign_id()  # while few rows have come since a dump was restored
        [(next_id, oldest_open, _)] = self.fetch(_OPEN, [])
        return Horizon(next_id=next_id, oldest_open=next_id if oldest_open is None else oldest_open)

    def _foreign_id(self) -> int:
        """Return the id of the last row of the log that another server wrote, 0 without any."""
        rows = Installation.primary.filter(pk=1)
        found = rows.annotate(here=_SERVER).values_list("log_server", "here", "log_foreign_id").first()
        if found is None or found[0] == found[1]:
            return 0 if found is None else found[2]
        newest = super().log_mark(None)
        others = ExecutionLog.primary.filter(id__gt=newest - _SEARCHED, transaction_id__gte=_NEXT)
        last = others.order_by("-id").values_list("id", flat=True).first() or 0
        rows.update(log_server=found[1], log_foreign_id=Greatest(F("log_foreign_id"), last))
        return max(found[2], last)

    def last_event(self, organization_pk: Any) -> int:
        if organization_pk is None:
            return super().last_event(organization_pk)
        rows = self.log_of(organization_pk)
        own = rows.filter(transaction_id__lt=_NEXT, id__gt=self._foreign_id())
        return _newest(own) or _newest(rows)

    def log_of(self, organization_pk: Any) -> QuerySet[ExecutionLog]:
        rows = ExecutionLog.primary.all()
        return rows if organization_pk is None else rows.filter(organization_id=organization_pk)

    def events_behind(self, organization_pk: Any, since: int) -> QuerySet[ExecutionLog]:
        known = ExecutionLog.primary.filter(id__lte=since, oldest_open_id__isnull=False).order_by("-id")
        oldest = known.values_list("oldest_open_id", flat=True).first()
        behind, foreign = Q(transaction_id__gte=oldest or 0), self._foreign_id()
        own = Q(transaction_id__lt=_NEXT, id__gt=foreign)
        return self.log_of(organization_pk).filter(own & behind if since > foreign else own | behind)

    def log_mark(self, organization_pk: Any) -> int:
        """Return the oldest transaction that is open; for everybody's log the last id, as base does."""
        if organization_pk is None:
            return super().log_mark(None)
        return min(int(pk) for pk in self.fetch(_OPEN, [])[0] if pk is not None)

    def events_since(self, organization_pk: Any, marks: Sequence[int]) -> QuerySet[ExecutionLog]:
        if organization_pk is None:
            return super().events_since(None, marks)
        return self.log_of(organization_pk).filter(transaction_id__gte=marks[-1], id__gt=self._foreign_id())

    def marks_kept(self, organization_pk: Any) -> int:
        return super().marks_kept(None) if organization_pk is None else 1


def _newest(rows: QuerySet[ExecutionLog]) -> int:
    """Return the id of the newest of these rows, 0 without any."""
    # Not by both columns at once: that may sort all rows of the organization. A row of another database has none.
    last = rows.filter(transaction_id__isnull=False).order_by("-transaction_id").values("transaction_id")[:1]
    return rows.filter(transaction_id=last).order_by("-id").values_list("id", flat=True).first() or 0
