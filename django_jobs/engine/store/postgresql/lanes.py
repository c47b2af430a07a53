"""The walk over the lanes in one statement, which may begin behind dead entries.

The hop to a lane visits every entry of the index before the lane's first job. While a snapshot is open, the entries of
jobs that went stay there, in front of each lane. So a walk may be given marks: it looks at the lanes between two marked
ones as ever, bounded by the second, and at a marked lane from its mark on.

None of this may hang on what the last ANALYZE saw. Where it met no job of a priority, type or organization, the planner
takes another index for as good as the one of the lanes, reads all that is in it, ended jobs included, and sorts what is
left, at every step of a walk. So it is left no other way: a value in a subselect fits no predicate of a partial index
that leaves out what is usual; and a lane is given by bounds of a row whose first column is in no other index, in the
order of all columns.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, Final

from django.db.models import QuerySet

from django_jobs.engine.store.base.lanes import LANE_ORDER, NO_MARKS
from django_jobs.engine.store.lane_values import LANE_BEGIN, Candidate, Lane, LaneMark, LaneStep, Walk
from django_jobs.engine.store.postgresql.columns import columns_of
from django_jobs.engine.store.postgresql.lane_statements import BEHIND, INDEX, LAST, NO_BOUND, LaneStatements
from django_jobs.engine.store.transition_values import Condition
from django_jobs.models import Job

#: A job gets its moment by a statement, and is seen after its commit: no mark is younger than so many seconds.
MARGIN_SECONDS: Final = 2


class LaneWalks(LaneStatements):
    """Hops from lane to lane by the index, inside the database."""

    marks_lanes: ClassVar[bool] = True
    in_delayed_lane: ClassVar[str] = (
        "priority = (SELECT %s::smallint) AND ready_at IS NOT NULL AND is_delayed = (SELECT true)"
    )
    # With a column that is not in the index of the lanes, which could else be read without the table, and sorted.
    delayed_columns: ClassVar[str] = "id, created_at"

    def waiting_types(
        self, priorities: Sequence[int], *, delayed: bool = False, marked: Collection[tuple[int, str]] = ()
    ) -> list[tuple[int, str]]:
        # Those that are marked are hopped over, so that their dead entries are not visited. A bound that may be absent
        # would be no bound of the index: so there is a part for what has one, and a part for what has none.
        of_priority = self._which(delayed=delayed).replace("(SELECT %s::smallint)", "{p}")
        parts = [
            f"(SELECT {{p}} AS p, job_type_id AS t, {{until}} AS until FROM {self.jobs_table} WHERE {of_priority} "
            f"AND job_type_id > {{after}} AND {bound} {LANE_ORDER} LIMIT 1)"
            for bound in ("{until} IS NULL", "{until} IS NOT NULL AND job_type_id < {until}")
        ]
        first = " UNION ALL ".join(parts)
        start = first.format(p="gaps.p", after="gaps.after", until="gaps.until")
        following = first.format(p="kinds.p", after="kinds.t", until="kinds.until")
        sql = (
            "WITH RECURSIVE marked(p, t) AS (SELECT * FROM unnest(%(of)s::smallint[], %(marked)s::text[])), "
            "gaps(p, after, until) AS ("
            "SELECT p, t, lead(t) OVER (PARTITION BY p ORDER BY t) FROM marked UNION ALL "
            "SELECT p, '', (SELECT min(t) FROM marked WHERE marked.p = asked.p) "
            "FROM unnest(%(priorities)s::smallint[]) AS asked(p)), "
            f"kinds(p, t, until) AS (SELECT found.* FROM gaps, LATERAL ({start}) AS found UNION ALL "
            f"SELECT found.* FROM kinds, LATERAL ({following}) AS found) SELECT p, t FROM kinds"
        )
        of = [item for item in marked if item[0] in priorities]
        params = {"priorities": list(priorities), "of": [item[0] for item in of], "marked": [item[1] for item in of]}
        return [(priority, job_type) for priority, job_type in self.fetch(sql, params)]

    def lanes(self, walk: Walk, count: int, marks: Mapping[Lane, LaneMark] = NO_MARKS) -> list[LaneStep]:
        params = self._params(walk) | {"count": count}
        start = NO_BOUND
        if walk.behind is not None:
            start, params["behind"] = BEHIND, self.key_to_database(walk.behind)
        if walk.last is not None:
            start, params["o"], params["k"] = LAST, self.key_to_database(walk.last.organization_pk), walk.last.key
        has_closed = bool(walk.bound.full or walk.bound.passed)
        # Its plan is always the same, and planning it takes longer than walking.
        sql = self.walk_sql(start, has_marks=bool(marks), has_closed=has_closed)
        # Who looks for delayed jobs has no marks.
        sql = sql.replace("NOT is_delayed", "is_delayed = (SELECT true)") if walk.delayed else sql
        return self._places(self.fetch(sql, params | (self._columns(marks) if marks else {})))

    def _params(self, walk: Walk) -> dict[str, Any]:
        full, passed = list(walk.bound.full), list(walk.bound.passed)
        return {
            "priority": walk.priority,
            "margin": MARGIN_SECONDS,
            "types": list(walk.job_types),
            "most": walk.bound.most,
            "after": None if walk.after is None else self.key_to_database(walk.after),
            "full_o": [self.key_to_database(lane.organization_pk) for lane in full],
            "full_t": [lane.job_type for lane in full],
            "full_k": [lane.key for lane in full],
            "passed_o": [self.key_to_database(pk) for pk, _ in passed],
            "passed_t": [job_type for _, job_type in passed],
        }

    def newest_of_type(self, job_type: str, organization_pk: Any) -> QuerySet[Job]:
        own = "(job_type_id, organization_id)"
        where, params = f"{own} >= (%s, %s) AND {own} <= (%s, %s)", [job_type, self.key_to_database(organization_pk)]
        rows = Job.primary.extra(where=[where], params=params * 2)  # noqa: S610  (no value is in it)
        return rows.order_by("job_type_id", "organization_id", "-pk")

    def waiting_in_order(self, rows: QuerySet[Job]) -> QuerySet[Job]:
        return super().waiting_in_order(rows).order_by(*INDEX)

    def first_waiting(self, rows: QuerySet[Job], priority: int, limit: int) -> QuerySet[Job]:
        own = "priority = (SELECT %s::smallint)"
        return self.waiting_in_order(rows).extra(where=[own], params=[priority])[:limit]  # noqa: S610

    def heads(
        self,
        priority: int,
        taken: Sequence[tuple[Lane, int]],
        *,
        delayed: bool = False,
        starts: Mapping[Lane, LaneMark] = NO_MARKS,
    ) -> list[Candidate]:
        if not taken:
            return []
        begins = [starts.get(lane, LANE_BEGIN) for lane, _ in taken]
        params = {
            "priority": priority,
            "delayed": delayed,
            "t": [lane.job_type for lane, _ in taken],
            "o": [self.key_to_database(lane.organization_pk) for lane, _ in taken],
            "k": [lane.key for lane, _ in taken],
            "r": [begin.ready_at for begin in begins],
            "i": [begin.pk for begin in begins],
            "m": [limit for _, limit in taken],
        }
        key, most = columns_of(Job, self.alias)["organization_id"].kind, max(limit for _, limit in taken)
        rows = self.fetch(_heads_sql(self.jobs_table, key, 1 << (most - 1).bit_length()), params)
        return [Candidate(taken[number - 1][0], since, pk, attempt) for number, since, pk, attempt in rows]

    def nothing_waits_of(self, organization_key: Any, priority: int, besides: Any = 0) -> Condition:
        first = (
            f"SELECT priority, job_type_id, organization_id FROM {self.jobs_table} WHERE ready_at IS NOT NULL AND "
            f"({', '.join(INDEX[:4])}) >= (false, %s, kinds.type_name, %s) AND id <> %s "
            f"ORDER BY {', '.join(INDEX)} LIMIT 1"
        )
        own = "priority = %s AND job_type_id = kinds.type_name AND organization_id = %s"
        sql = f"NOT EXISTS (SELECT 1 FROM {self.types_table} kinds, LATERAL ({first}) AS first WHERE {own})"
        return Condition(sql, (priority, organization_key, besides, priority, organization_key))

    def _columns(self, marks: Mapping[Lane, LaneMark]) -> dict[str, list[Any]]:
        return {
            "mark_t": [lane.job_type for lane in marks],
            "mark_o": [self.key_to_database(lane.organization_pk) for lane in marks],
            "mark_k": [lane.key for lane in marks],
            "mark_r": [mark.ready_at for mark in marks.values()],
            "mark_i": [mark.pk for mark in marks.values()],
        }

    def _places(self, rows: Sequence[tuple[Any, ...]]) -> list[LaneStep]:
        return [
            LaneStep(
                lane=Lane(self.key_from_database(organization_key), job_type, key),
                is_due=bool(is_due),
                is_behind=bool(is_behind),
                first=None if pk is None else LaneMark(ready_at, pk),
                mark=LaneMark(ready_at, pk) if is_old else LaneMark(limit, 0),
            )
            for organization_key, job_type, key, ready_at, pk, is_due, is_behind, is_old, limit in rows
        ]


@functools.cache
def _heads_sql(jobs: str, key: str, bound: int) -> str:
    """Return SQL for the first jobs of lanes, of none more than the ``bound``.

    That is a number in the statement for the planner's sake: behind a limit that it does not know it expects a tenth of
    the table, and the server would compile such a plan at each execution, which takes longer than all else.
    Where a lane ends is no condition of the scan: one on a row of columns would not end it, and one on the type would
    make an index of all jobs of a type look as good. So what lies behind the lane is read, up to the limit, and left.
    """
    first = (
        f"SELECT is_delayed AS d, priority AS p, job_type_id AS t, organization_id AS o, lane_key AS k, ready_at AS r, "
        f"id AS i, attempt AS a FROM {jobs} WHERE ready_at IS NOT NULL AND ({', '.join(INDEX)}) >= "
        "(%(delayed)s::boolean, %(priority)s::smallint, l.t, l.o, l.k, l.r, l.i) "
        f"ORDER BY {', '.join(INDEX)} LIMIT {bound}"
    )
    kinds = {"t": "text", "o": key, "k": "bigint", "r": "timestamptz", "i": "bigint", "m": "bigint"}
    arrays = ", ".join(f"%({name})s::{kind}[]" for name, kind in kinds.items())
    lanes = f"unnest({arrays}) WITH ORDINALITY AS l(t, o, k, r, i, m, n)"
    own = "d = %(delayed)s::boolean AND p = %(priority)s::smallint AND f.t = l.t AND f.o = l.o AND f.k = l.k"
    return (
        f"SELECT l.n, extract(epoch FROM f.r)::double precision, f.i, f.a FROM {lanes}, "
        f"LATERAL (SELECT * FROM ({first}) AS b LIMIT l.m) AS f WHERE {own} AND (d OR f.r <= statement_timestamp())"
    )
