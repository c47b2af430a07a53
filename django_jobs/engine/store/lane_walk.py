"""The walk over the lanes in one statement, for databases whose recursive queries may look at the table again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django_jobs.engine.store.base import Store
from django_jobs.engine.store.base.lanes import NO_MARKS
from django_jobs.engine.store.lane_values import Lane, LaneBound, LaneMark, LaneStep, Walk

ORDER: Final = "ORDER BY organization_id, job_type_id, ready_at LIMIT 1"


class LaneWalk(Store):
    """Hops from lane to lane by the index, as base does, but inside the database."""

    def lanes(self, walk: Walk, count: int, marks: Mapping[Lane, LaneMark] = NO_MARKS) -> list[LaneStep]:
        which, priority, bound = self._which(delayed=walk.delayed), walk.priority, walk.bound
        start, start_params = self._start(walk)
        columns = ("organization_id", "job_type_id", self.sql_is_due())
        nth, nth_params = _sql_nth(bound)
        following = ", ".join(self._sql_following(column, which, nth, bound) for column in columns)
        following_params = [priority] if bound is None else [*nth_params, priority, priority]
        is_behind, after_params = self.sql_is_behind("o", walk.after)
        rows = self._ask(
            f"WITH RECURSIVE walk(o, t, due, before, n) AS ("
            f"SELECT * FROM (SELECT {', '.join(columns)}, organization_id AS before, 0 AS n "
            f"FROM {self.jobs_table} WHERE {which} {start} {ORDER}) AS start_lane UNION ALL "
            f"SELECT {following}, walk.o, {nth} FROM walk WHERE walk.o IS NOT NULL) "
            f"SELECT o, t, due, {is_behind} FROM walk WHERE o IS NOT NULL LIMIT {count}",
            [priority, *start_params, *following_params * len(columns), *nth_params, *after_params],
        )
        return self._steps(rows)

    def _sql_following(self, column: str, which: str, nth: str, bound: LaneBound | None) -> str:
        """Return SQL for a column of the lane behind the one that the walk is at, or behind its organization's last."""
        first = f"SELECT {column} FROM {self.jobs_table} WHERE {which}"
        lane = f"({first} AND (organization_id, job_type_id) > (walk.o, walk.t) {ORDER})"
        if bound is None:
            return lane
        return f"CASE WHEN {nth} < {bound.most} THEN {lane} ELSE ({first} AND organization_id > walk.o {ORDER}) END"

    def _start(self, walk: Walk) -> tuple[str, list[Any]]:
        if walk.last is None:
            return super()._start(walk)
        key, job_type = walk.last
        return "AND (organization_id, job_type_id) > (%s, %s)", [self.key_to_database(key), job_type]


def _sql_nth(bound: LaneBound | None) -> tuple[str, list[Any]]:
    """Return SQL that counts the lanes of one organization up to the one that the walk is at, and its parameters.

    ``before`` is the organization of the lane before that one, and ``n`` the count up to there.
    """
    if bound is None:
        return "0", []
    counts = "walk.due"
    if bound.uncounted:
        counts += f" AND walk.t NOT IN ({', '.join(['%s'] * len(bound.uncounted))})"
    sql = f"(CASE WHEN walk.before = walk.o THEN walk.n ELSE 0 END + CASE WHEN {counts} THEN 1 ELSE 0 END)"
    return sql, list(bound.uncounted)
