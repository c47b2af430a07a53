"""Counting what is queued or running."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar, TypeVar

from django.db.models import QuerySet

from django_jobs.engine.store.base.lanes import Lanes
from django_jobs.engine.store.in_flight_values import InFlightCount, InFlightJob, InFlightMark
from django_jobs.engine.store.lane_values import Lane
from django_jobs.models import Job
from django_jobs.statuses import IN_FLIGHT, Status

T = TypeVar("T")


class InFlightCounts(Lanes):
    """The jobs that have a ticket at the broker, or that a worker has."""

    #: SQL that a job is in flight. Literal statuses leave the planner one way, so that its plan may be kept.
    in_flight: ClassVar[str] = f"status IN ({', '.join(repr(str(status)) for status in sorted(IN_FLIGHT))})"

    def count_in_flight(self, mark: InFlightMark | None = None) -> list[InFlightCount]:
        """Count what is in flight, over the index that holds nothing else; from a mark on where there is one."""
        rows, params = self._in_flight_rows(mark)
        keys = "organization_id, priority, job_type_id, lane_key"
        found = self._ask(
            f"SELECT SUM(CASE WHEN status = '{Status.QUEUED}' THEN 1 ELSE 0 END), COUNT(*), {keys} "
            f"FROM {rows} GROUP BY {keys}",
            params,
        )
        return [
            InFlightCount(Lane(self.key_from_database(organization), kind, key), priority, int(queued), total)
            for queued, total, organization, priority, kind, key in found
        ]

    def queued_jobs(self, job_types: Collection[str], mark: InFlightMark | None = None) -> list[InFlightJob]:
        """Return the jobs of these types that are queued, over the same index."""
        rows, params = self._in_flight_rows(mark)
        found = self._ask(
            f"SELECT job_type_id, organization_id, lane_key, id, attempt FROM {rows} AND status = '{Status.QUEUED}' "
            f"AND job_type_id IN ({', '.join(['%s'] * len(job_types))})",
            [*params, *job_types],
        )
        return [
            InFlightJob(Lane(self.key_from_database(organization), kind, key), pk, attempt)
            for kind, organization, key, pk, attempt in found
        ]

    def mark_in_flight(self, mark: InFlightMark | None = None) -> InFlightMark | None:
        """Return a newer mark, found by means of an older one or over the whole index; None where none is needed."""
        return None

    def from_mark(self, rows: QuerySet[Job, T], mark: InFlightMark) -> QuerySet[Job, T]:
        """Return the same rows, which are of jobs in flight, in such a way that they are found from the mark on."""
        return rows

    def _in_flight_rows(self, mark: InFlightMark | None) -> tuple[str, list[Any]]:
        """Return what stands for the rows of the jobs in flight in a FROM, and its parameters."""
        return f"{self.jobs_table} WHERE {self.in_flight}", []
