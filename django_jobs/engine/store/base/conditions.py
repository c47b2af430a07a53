"""What a move may ask of other rows, in the statement that moves the job where the database can do both at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django_jobs.engine.store.base.in_flight import InFlightCounts
from django_jobs.engine.store.base.lanes import LANE_ORDER
from django_jobs.engine.store.transition_values import Condition
from django_jobs.statuses import Status

#: A system is idle where less is in flight; to count more would take longer.
FEW_IN_FLIGHT: Final = 200
#: That of the index of what is in flight, which makes the database use it: where much was in flight when it counted, it
#: would sooner look for a few of them in the table. What can no longer be removed from the index lies at its beginning.
_LATEST_FIRST: Final = "ORDER BY queued_at DESC"

#: The limits of a type that are NULL where there is none.
_LIMITS: Final = ("max_running", "max_running_per_organization", "max_starts", "max_starts_per_key")


class Conditions(InFlightCounts):
    """Conditions about what waits and what is in flight.

    Organizations are named by their keys as the database has them. Any value may be a mark that the caller replaces.
    """

    def is_due(self, pk: Any) -> Condition:
        """Return the condition that a job waits and that its moment has come."""
        return Condition(f"(SELECT {self.sql_is_due()} FROM {self.jobs_table} WHERE id = %s)", (pk,))

    def needs_no_pass(self, type_name: Any) -> Condition:
        """Return the condition that a job type is not paused and has no limits, as it is now."""
        unlimited = " AND ".join(f"{name} IS NULL" for name in _LIMITS)
        sql = (
            f"EXISTS (SELECT 1 FROM {self.types_table} WHERE type_name = %s AND NOT is_paused AND {unlimited} "
            "AND concurrency_key = '' AND breaker_failures = 0)"
        )
        return Condition(sql, (type_name,))

    def nothing_else_waits(self, priority: int, pk: Any) -> Condition:
        """Return the condition that no job but this one waits with a priority, due or not."""
        return self._nothing_waits("id <> %s", (priority, pk))

    def nothing_waits(self, priority: int) -> Condition:
        """Return the condition that no job waits with a priority, due or not."""
        return self._nothing_waits("TRUE", (priority,))

    def nothing_waits_of(self, organization_key: Any, priority: int, besides: Any = 0) -> Condition:
        """Return the condition that no job of an organization waits with a priority, due or not.

        The one with the key ``besides`` does not count.
        """
        # Asked type by type, since the index has the type before the organization.
        first = (
            f"SELECT id FROM {self.jobs_table} WHERE {self.in_lane} AND job_type_id = kinds.type_name "
            f"AND organization_id = %s AND id <> %s {LANE_ORDER} LIMIT 1"
        )
        sql = f"NOT EXISTS (SELECT 1 FROM {self.types_table} kinds WHERE ({first}) IS NOT NULL)"
        return Condition(sql, (priority, organization_key, besides))

    def _nothing_waits(self, which: str, params: tuple[Any, ...]) -> Condition:
        first = f"SELECT id FROM {self.jobs_table} WHERE {self.in_lane} AND {which} {LANE_ORDER} LIMIT 1"
        return Condition(f"({first}) IS NULL", params)

    def has_fewer_in_flight(self, organization_key: Any, count: Any) -> Condition:
        """Return the condition that fewer jobs of an organization than ``count`` are queued or running."""
        sql = f"(SELECT COUNT(*) FROM {self.jobs_table} WHERE {self.in_flight} AND organization_id = %s) < %s"
        return Condition(sql, (organization_key, count))

    def has_nothing_in_flight(self, organization_key: Any) -> Condition:
        """Return the condition that no job of an organization is queued or running."""
        sql = f"NOT EXISTS (SELECT 1 FROM {self.jobs_table} WHERE {self.in_flight} AND organization_id = %s)"
        return Condition(sql, (organization_key,))

    def is_idle(self, organization_key: Any, most_of_it: Any, priorities: Sequence[int], most_queued: Any) -> Condition:
        """Return the condition that fewer than FEW_IN_FLIGHT jobs are queued or running.

        Of the organization it is fewer than ``most_of_it``, and of these priorities fewer than ``most_queued`` are
        queued.
        """
        own = "CASE WHEN organization_id = %s THEN 1 ELSE 0 END"
        among = ", ".join(map(str, priorities))
        queued = f"CASE WHEN status = '{Status.QUEUED}' AND priority IN ({among}) THEN 1 ELSE 0 END"
        sql = (
            f"(SELECT COUNT(*) < {FEW_IN_FLIGHT} AND COALESCE(SUM({own}), 0) < %s AND COALESCE(SUM({queued}), 0) < %s "
            f"FROM (SELECT organization_id, status, priority FROM {self.jobs_table} WHERE {self.in_flight} "
            f"{_LATEST_FIRST} LIMIT {FEW_IN_FLIGHT}) AS found)"
        )
        return Condition(sql, (organization_key, most_of_it, most_queued))
