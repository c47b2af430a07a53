"""The same type by type: of several at once the planner may read every job, or walk all lanes of a priority."""

from __future__ import annotations

from typing import Any

from django_jobs.engine.store.base import Store
from django_jobs.engine.store.base.lanes import LANE_ORDER
from django_jobs.engine.store.postgresql.rows import array
from django_jobs.statuses import Priority


class BacklogCounts(Store):
    """Counts that cost the same however many jobs wait."""

    def _sql_of_some(self, job_types: list[str], most: int, *, delayed: bool) -> tuple[str, list[Any]]:
        own = self._which(delayed=delayed).replace("(SELECT %s::smallint)", "urgency.p")
        sql = (
            "SELECT found.id FROM unnest(%s::text[]) AS kinds(t), unnest(%s::smallint[]) AS urgency(p), LATERAL ("
            f"SELECT id FROM {self.jobs_table} WHERE {own} AND job_type_id = kinds.t {LANE_ORDER} LIMIT %s) AS found"
        )
        return sql, [array(job_types), array([int(priority) for priority in Priority]), most]
