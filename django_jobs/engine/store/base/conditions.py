"""What a move may ask of other rows, in the statement that moves the job where the database can do both at once."""

from __future__ import annotations

from typing import Any, Final

from django_jobs.engine.store.base.lanes import LANE_ORDER, Lanes
from django_jobs.engine.store.transition_values import Condition
from django_jobs.statuses import IN_FLIGHT

#: Literal statuses leave the planner one way, so that its plan may be kept.
_IN_FLIGHT: Final = f"status IN ({', '.join(repr(str(status)) for status in sorted(IN_FLIGHT))})"


class Conditions(Lanes):
    """Conditions about what waits and what is in flight.

    Organizations are named by their keys as the database has them. Any value may be a mark that the caller replaces.
    """

    def is_due(self, pk: Any) -> Condition:
        """Return the condition that a job waits and that its moment has come."""
        return Condition(f"(SELECT {self.sql_is_due()} FROM {self.jobs_table} WHERE id = %s)", (pk,))

    def nothing_else_waits(self, priority: int, pk: Any) -> Condition:
        """Return the condition that no job but this one waits with a priority, due or not."""
        return self._nothing_waits("id <> %s", (priority, pk))

    def nothing_waits_of(self, organization_key: Any, priority: int) -> Condition:
        """Return the condition that no job of an organization waits with a priority, due or not."""
        return self._nothing_waits("organization_id = %s", (priority, organization_key))

    def _nothing_waits(self, which: str, params: tuple[Any, ...]) -> Condition:
        first = f"SELECT id FROM {self.jobs_table} WHERE {self.in_lane} AND {which} {LANE_ORDER} LIMIT 1"
        return Condition(f"({first}) IS NULL", params)

    def has_fewer_in_flight(self, organization_key: Any, count: Any) -> Condition:
        """Return the condition that fewer jobs of an organization than ``count`` are queued or running."""
        sql = f"(SELECT COUNT(*) FROM {self.jobs_table} WHERE {_IN_FLIGHT} AND organization_id = %s) < %s"
        return Condition(sql, (organization_key, count))
