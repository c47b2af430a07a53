"""The walk over the lanes in one statement, for databases whose recursive queries may look at the table again."""

from __future__ import annotations

from typing import Any

from django_jobs.engine.store.base import Store
from django_jobs.engine.store.lane_values import Lane, LaneStep


class LaneWalk(Store):
    """Hops from lane to lane by the index, as base does, but inside the database."""

    def lanes(
        self, priority: int, after: Any, count: int, *, last: Lane | None = None, behind: bool = False
    ) -> list[LaneStep]:
        start, start_params = self._start(after, last, behind=behind)
        order = "ORDER BY organization_id, job_type_id, ready_at LIMIT 1"
        columns = ("organization_id", "job_type_id", self.sql_is_due())
        rest = f"FROM {self.jobs_table} WHERE {self.in_lane}"
        further = "AND (organization_id, job_type_id) > (walk.o, walk.t)"
        following = ", ".join(f"(SELECT {column} {rest} {further} {order})" for column in columns)
        is_behind, after_params = self.sql_is_behind("o", after)
        rows = self._ask(
            f"WITH RECURSIVE walk(o, t, due) AS ("
            f"SELECT * FROM (SELECT {', '.join(columns)} {rest} {start} {order}) AS start_lane UNION ALL "
            f"SELECT {following} FROM walk WHERE walk.o IS NOT NULL) "
            f"SELECT o, t, due, {is_behind} FROM walk WHERE o IS NOT NULL LIMIT {count}",
            [priority, *start_params, *[priority] * len(columns), *after_params],
        )
        return self._steps(rows)

    def _start(self, after: Any, last: Lane | None, *, behind: bool) -> tuple[str, list[Any]]:
        if last is None:
            return super()._start(after, last, behind=behind)
        return "AND (organization_id, job_type_id) > (%s, %s)", [self.key_to_database(last[0]), last[1]]
