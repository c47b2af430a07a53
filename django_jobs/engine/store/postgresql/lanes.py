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

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, NamedTuple

from django.db.models import QuerySet

from django_jobs.engine.store.base import Store
from django_jobs.engine.store.base.lanes import LANE_ORDER, NO_MARKS
from django_jobs.engine.store.lane_values import Lane, LaneBound, LaneMark, LaneStep, Walk
from django_jobs.engine.store.postgresql.columns import columns_of
from django_jobs.engine.store.transition_values import Condition
from django_jobs.models import Job

#: A job gets its moment by a statement, and is seen after its commit: no mark is younger than so many seconds.
MARGIN_SECONDS: Final = 2


#: The columns of the index of lanes.
_INDEX: Final = ("is_delayed", "priority", "organization_id", "job_type_id", "ready_at", "id")


class _Bound(NamedTuple):
    """SQL for where the walk is: a lane ``{o}``, ``{t}`` lies behind it if one of ``further`` holds.

    That is one at a time, so that each may be a bound of the index. ``organization`` and ``job_type`` are of the lane
    in which the walk is, if it is in one, and ``counted`` of its organization so far.
    """

    further: tuple[str, ...]
    organization: str = "NULL"
    job_type: str = "''"
    counted: str = "0"


_NO_BOUND: Final = _Bound(("TRUE",))
_AFTER: Final = _Bound(("{o} > %(after)s",))
_LAST: Final = _Bound(("({o}, {t}) > (%(o)s, %(t)s)",), "%(o)s", "%(t)s")
_WALK: Final = _Bound(
    ("({o}, {t}) > (walk.o, walk.t) AND walk.n < %(most)s", "{o} > walk.o AND walk.n >= %(most)s"),
    "walk.o",
    "walk.t",
    "walk.n",
)
#: For a walk that hops over nothing.
_UNBOUNDED: Final = LaneBound(2**31)


class LaneWalks(Store):
    """Hops from lane to lane by the index, inside the database."""

    marks_lanes: ClassVar[bool] = True
    in_lane: ClassVar[str] = "priority = (SELECT %s::smallint) AND ready_at IS NOT NULL AND NOT is_delayed"
    in_delayed_lane: ClassVar[str] = (
        "priority = (SELECT %s::smallint) AND ready_at IS NOT NULL AND is_delayed = (SELECT true)"
    )
    # With a column that is not in the index of the lanes, which could else be read without the table, and sorted.
    delayed_columns: ClassVar[str] = "id, created_at"

    def lanes(self, walk: Walk, count: int, marks: Mapping[Lane, LaneMark] = NO_MARKS) -> list[LaneStep]:
        most, uncounted = walk.bound or _UNBOUNDED
        params: dict[str, Any] = {"priority": walk.priority, "margin": MARGIN_SECONDS, "most": most}
        params |= {
            "uncounted": list(uncounted),
            "after": None if walk.after is None else self.key_to_database(walk.after),
        }
        start = _AFTER if walk.behind else _NO_BOUND
        if walk.last is not None:
            start, params["o"], params["t"] = _LAST, self.key_to_database(walk.last.organization_pk), walk.last.job_type
        if not marks:
            sql = self._walk(start, count, has_marks=False)
            # Who looks for delayed jobs has no marks.
            sql = sql.replace(_named(self.in_lane), _named(self.in_delayed_lane)) if walk.delayed else sql
            return self._places(self._ask(sql, params))
        # Its plan is always the same, and planning it takes longer than walking.
        return self._places(self.fetch(self._walk(start, count, has_marks=True), params | self._columns(marks)))

    def newest_of_type(self, job_type: str, organization_pk: Any) -> QuerySet[Job]:
        own = "(job_type_id, organization_id)"
        where, params = f"{own} >= (%s, %s) AND {own} <= (%s, %s)", [job_type, self.key_to_database(organization_pk)]
        rows = Job.primary.extra(where=[where], params=params * 2)  # noqa: S610  (no value is in it)
        return rows.order_by("job_type_id", "organization_id", "-pk")

    def first_waiting(self, rows: QuerySet[Job], priority: int, limit: int) -> QuerySet[Job]:
        waiting = (self.waiting_jobs() & rows).extra(where=["priority = (SELECT %s::smallint)"], params=[priority])
        return waiting.order_by(*_INDEX)[:limit]

    def _sql_of_lane(
        self, priority: int, lane: Lane, *, delayed: bool, start: LaneMark | None
    ) -> tuple[str, list[Any]]:
        own = [delayed, priority, self.key_to_database(lane.organization_pk), lane.job_type]
        least, most = own + list(start or ()), own
        now = "" if delayed else f", {self.sql_now()}"
        sql = (
            f"ready_at IS NOT NULL AND ({', '.join(_INDEX[: len(least)])}) >= ({_marks(least)}) "
            f"AND ({', '.join(_INDEX[: len(own) + bool(now)])}) <= ({_marks(own)}{now}) ORDER BY {', '.join(_INDEX)}"
        )
        return sql, [*least, *most]

    def nothing_waits_of(self, organization_key: Any, priority: int) -> Condition:
        own = f"({', '.join(_INDEX[:3])})"
        first = (
            f"SELECT id FROM {self.jobs_table} WHERE ready_at IS NOT NULL AND {own} >= (false, %s, %s) "
            f"AND {own} <= (false, %s, %s) ORDER BY {', '.join(_INDEX)} LIMIT 1"
        )
        return Condition(f"({first}) IS NULL", (priority, organization_key) * 2)

    def _columns(self, marks: Mapping[Lane, LaneMark]) -> dict[str, list[Any]]:
        return {
            "mark_o": [self.key_to_database(lane.organization_pk) for lane in marks],
            "mark_t": [lane.job_type for lane in marks],
            "mark_r": [mark.ready_at for mark in marks.values()],
            "mark_i": [mark.pk for mark in marks.values()],
        }

    def _places(self, rows: Sequence[tuple[Any, ...]]) -> list[LaneStep]:
        return [
            LaneStep(
                lane=Lane(organization_pk=self.key_from_database(key), job_type=job_type),
                is_due=bool(is_due),
                is_behind=bool(is_behind),
                first=None if pk is None else LaneMark(ready_at, pk),
                mark=LaneMark(ready_at, pk) if is_old else LaneMark(limit, 0),
            )
            for key, job_type, ready_at, pk, is_due, is_behind, is_old, limit in rows
        ]

    def _walk(self, start: _Bound, count: int, *, has_marks: bool) -> str:
        key = columns_of(Job, self.alias)["organization_id"].kind
        marks = (
            "mark(o, t, r, i) AS (SELECT * FROM unnest("
            f"%(mark_o)s::{key}[], %(mark_t)s::text[], %(mark_r)s::timestamptz[], %(mark_i)s::bigint[])), "
        )
        limit = "statement_timestamp() - %(margin)s * interval '1 second'"
        following = self._marked_step if has_marks else self._step
        return (
            f"WITH RECURSIVE {marks if has_marks else ''}walk(o, t, r, i, n) AS ("
            f"SELECT step.*, {self._counted(start)} FROM ({following(start)}) AS step UNION ALL "
            f"SELECT step.*, {self._counted(_WALK)} FROM walk, LATERAL ({following(_WALK)}) AS step) "
            f"SELECT o, t, r::text, i, coalesce(r <= {self.sql_now()}, false), "
            f"coalesce(o > %(after)s::{key}, false), "
            f"coalesce(r <= {limit}, false), ({limit})::text FROM walk LIMIT {count}"
        )

    def _counted(self, bound: _Bound) -> str:
        """Return SQL that counts the lanes of a step's organization up to this one."""
        is_counted = f"step.r <= {self.sql_now()} AND step.t <> ALL(%(uncounted)s::text[])"
        before = f"CASE WHEN {bound.organization} = step.o THEN {bound.counted} ELSE 0 END"
        return f"{before} + CASE WHEN {is_counted} THEN 1 ELSE 0 END"

    def _step(self, bound: _Bound, also: str = "TRUE") -> str:
        """Return SQL for the first job behind a bound, which is the first of its lane."""
        wheres = (further.format(o="organization_id", t="job_type_id") for further in bound.further)
        return " UNION ALL ".join(f"({self._first(f'{where} AND {also}')})" for where in wheres)

    def _first(self, where: str) -> str:
        return (
            "SELECT organization_id AS o, job_type_id AS t, ready_at AS r, id AS i "
            f"FROM {self.jobs_table} WHERE {_named(self.in_lane)} AND {where} {LANE_ORDER} LIMIT 1"
        )

    def _marked_step(self, bound: _Bound) -> str:
        """Return SQL for the first job behind a bound and before the next marked lane; without one, for that lane.

        An upper bound on the pair of organization and type would not end the scan before the marked lane's end. So
        there are two: organizations before that of the mark, and its own types before that of the mark.
        """
        turns = (
            self._step(bound, "organization_id < mark.o"),
            self._first(
                "organization_id = mark.o AND job_type_id < mark.t "
                f"AND job_type_id > CASE WHEN {bound.organization} = mark.o THEN {bound.job_type} ELSE '' END"
            ),
            self._step(bound, "mark.o IS NULL"),
            "SELECT mark.o, mark.t, first.r, first.i FROM (SELECT 1) AS one LEFT JOIN LATERAL ("
            + self._first("organization_id = mark.o AND job_type_id = mark.t AND (ready_at, id) >= (mark.r, mark.i)")
            + ") AS first ON TRUE WHERE mark.o IS NOT NULL",
        )
        choices = " UNION ALL ".join(f"SELECT {turn}, * FROM ({sql}) AS turn_{turn}" for turn, sql in enumerate(turns))
        is_behind = " OR ".join(f"({further.format(o='o', t='t')})" for further in bound.further)
        return (
            "SELECT found.o, found.t, found.r, found.i FROM (SELECT 1) AS one LEFT JOIN LATERAL ("
            f"SELECT * FROM mark WHERE {is_behind} ORDER BY o, t LIMIT 1) AS mark ON TRUE, "
            f"LATERAL (SELECT * FROM ({choices}) AS choices(turn, o, t, r, i) ORDER BY turn LIMIT 1) AS found"
        )


def _marks(values: Sequence[Any]) -> str:
    return ", ".join(["%s"] * len(values))


def _named(condition: str) -> str:
    return condition.replace("%s", "%(priority)s")
