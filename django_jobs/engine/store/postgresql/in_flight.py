"""Counting what is in flight beside a long snapshot.

While a snapshot is open, as a pg_dump holds one for as long as it takes, every job that was in flight leaves entries
in the index that nobody can remove. A count over the whole index visits all of them. One from a mark on visits those
that were queued since then, by the moment at which they were; and by their keys the few that were queued before.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

from django.db.models import QuerySet

from django_jobs.engine.store.base import Store
from django_jobs.engine.store.in_flight_values import InFlightMark
from django_jobs.models import Job

T = TypeVar("T")

#: How far a mark lies back. A move to Queued that takes longer from its statement to its commit may be overlooked.
MARGIN_SECONDS: Final = 1


class InFlightCounts(Store):
    """Counts that begin at a mark."""

    def mark_in_flight(self, mark: InFlightMark | None = None) -> InFlightMark | None:
        rows, params = self._in_flight_rows(mark)
        ((since, pks),) = self._ask(
            "WITH mark AS (SELECT statement_timestamp() - %s * interval '1 second' AS since) "
            f"SELECT since, ARRAY(SELECT id FROM {rows} AND (queued_at >= since) IS NOT TRUE) FROM mark",
            [MARGIN_SECONDS, *params],
        )
        return InFlightMark(since, pks)

    def from_mark(self, rows: QuerySet[Job, T], mark: InFlightMark) -> QuerySet[Job, T]:
        found, params = self._in_flight_rows(mark)
        key = f"{self.jobs_table}.id"
        return rows.extra(where=[f"{key} = ANY(ARRAY(SELECT id FROM {found}))"], params=params)  # noqa: S610

    def _in_flight_rows(self, mark: InFlightMark | None) -> tuple[str, list[Any]]:
        if mark is None:
            return super()._in_flight_rows(mark)
        columns = "id, organization_id, priority, status, queued_at, job_type_id, lane_key, attempt"
        # What is known is found by its key before it is judged: in one WHERE the planner may choose the index.
        rows = (
            f"(SELECT {columns} FROM {self.jobs_table} WHERE {self.in_flight} AND queued_at >= %s UNION ALL "
            f"SELECT * FROM (SELECT {columns} FROM {self.jobs_table} WHERE id = ANY(%s) OFFSET 0) AS known "
            f"WHERE {self.in_flight} AND (queued_at >= %s) IS NOT TRUE) AS rows WHERE TRUE"
        )
        return rows, [mark.since, mark.pks, mark.since]
