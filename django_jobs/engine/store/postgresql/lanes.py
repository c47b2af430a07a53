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

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, Final, NamedTuple

from django.db.models import QuerySet

from django_jobs.engine.store.base import Store
from django_jobs.engine.store.base.lanes import LANE_ORDER, NO_MARKS
from django_jobs.engine.store.lane_values import ALL_TYPES, Lane, LaneMark, LaneStep, Walk
from django_jobs.engine.store.postgresql.columns import columns_of
from django_jobs.engine.store.transition_values import Condition
from django_jobs.models import Job

#: A job gets its moment by a statement, and is seen after its commit: no mark is younger than so many seconds.
MARGIN_SECONDS: Final = 2


#: The columns of the index of lanes.
_INDEX: Final = ("is_delayed", "priority", "job_type_id", "organization_id", "lane_key", "ready_at", "id")


class _Bound(NamedTuple):
    """SQL for where the walk is: a lane ``{o}``, ``{k}`` lies behind it if one of ``further`` holds.

    That is one at a time, so that each may be a bound of the index. ``job_type`` is the type that is walked, from
    ``source``. ``organization`` and ``key`` are of the lane in which the walk is, if it is in one; ``counted`` lanes of
    its organization and ``total`` of its type were counted so far.
    """

    further: tuple[str, ...]
    source: str = "kinds"
    job_type: str = "kinds.t"
    organization: str = "NULL"
    key: str = "NULL::bigint"
    counted: str = "0"
    total: str = "0"


_NO_BOUND: Final = _Bound(("TRUE",))
_BEHIND: Final = _Bound(("{o} > %(behind)s",))
_LAST: Final = _Bound(("({o}, {k}) > (%(o)s, %(k)s)",), organization="%(o)s", key="%(k)s::bigint")
_WALK: Final = _Bound(
    ("({o}, {k}) > (walk.o, walk.k) AND walk.n < %(most)s", "{o} > walk.o AND walk.n >= %(most)s"),
    "walk",
    "walk.t",
    "walk.o",
    "walk.k",
    "walk.n",
    "walk.m",
)


class LaneWalks(Store):
    """Hops from lane to lane by the index, inside the database."""

    marks_lanes: ClassVar[bool] = True
    in_lane: ClassVar[str] = "priority = (SELECT %s::smallint) AND ready_at IS NOT NULL AND NOT is_delayed"
    in_delayed_lane: ClassVar[str] = (
        "priority = (SELECT %s::smallint) AND ready_at IS NOT NULL AND is_delayed = (SELECT true)"
    )
    # With a column that is not in the index of the lanes, which could else be read without the table, and sorted.
    delayed_columns: ClassVar[str] = "id, created_at"

    def waiting_types(
        self, priorities: Sequence[int], *, delayed: bool = False, marked: Collection[tuple[int, str]] = ()
    ) -> list[tuple[int, str]]:
        # Those that are marked are hopped over, so that their dead entries are not visited.
        of_priority = self._which(delayed=delayed).replace("(SELECT %s::smallint)", "{p}")
        first = (
            f"SELECT {{p}} AS p, job_type_id AS t, {{until}} AS until FROM {self.jobs_table} WHERE {of_priority} "
            f"AND job_type_id > {{after}} AND ({{until}} IS NULL OR job_type_id < {{until}}) {LANE_ORDER} LIMIT 1"
        )
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
        return [(priority, job_type) for priority, job_type in self._ask(sql, params)]

    def lanes(self, walk: Walk, count: int, marks: Mapping[Lane, LaneMark] = NO_MARKS) -> list[LaneStep]:
        params = self._params(walk) | {"count": count}
        start = _NO_BOUND
        if walk.behind is not None:
            start, params["behind"] = _BEHIND, self.key_to_database(walk.behind)
        if walk.last is not None:
            start, params["o"], params["k"] = _LAST, self.key_to_database(walk.last.organization_pk), walk.last.key
        has_closed = bool(walk.bound.full or walk.bound.passed)
        if not marks:
            sql = self._walk(start, has_marks=False, has_closed=has_closed)
            # Who looks for delayed jobs has no marks.
            sql = sql.replace(_named(self.in_lane), _named(self.in_delayed_lane)) if walk.delayed else sql
            return self._places(self._ask(sql, params))
        # Its plan is always the same, and planning it takes longer than walking.
        sql = self._walk(start, has_marks=True, has_closed=has_closed)
        return self._places(self.fetch(sql, params | self._columns(marks)))

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

    def first_waiting(self, rows: QuerySet[Job], priority: int, limit: int) -> QuerySet[Job]:
        waiting = (self.waiting_jobs() & rows).extra(where=["priority = (SELECT %s::smallint)"], params=[priority])
        return waiting.order_by(*_INDEX)[:limit]

    def _sql_of_lane(
        self, priority: int, lane: Lane, *, delayed: bool, start: LaneMark | None
    ) -> tuple[str, list[Any]]:
        own = [delayed, priority, lane.job_type, self.key_to_database(lane.organization_pk), lane.key]
        least, most = own + list(start or ()), own
        now = "" if delayed else f", {self.sql_now()}"
        sql = (
            f"ready_at IS NOT NULL AND ({', '.join(_INDEX[: len(least)])}) >= ({_marks(least)}) "
            f"AND ({', '.join(_INDEX[: len(own) + bool(now)])}) <= ({_marks(own)}{now}) ORDER BY {', '.join(_INDEX)}"
        )
        return sql, [*least, *most]

    def nothing_waits_of(self, organization_key: Any, priority: int) -> Condition:
        own = f"({', '.join(_INDEX[:4])})"
        bound = "(false, %s, kinds.type_name, %s)"
        first = (
            f"SELECT id FROM {self.jobs_table} WHERE ready_at IS NOT NULL AND {own} >= {bound} "
            f"AND {own} <= {bound} ORDER BY {', '.join(_INDEX)} LIMIT 1"
        )
        sql = f"NOT EXISTS (SELECT 1 FROM {self.types_table} kinds WHERE ({first}) IS NOT NULL)"
        return Condition(sql, (priority, organization_key) * 2)

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

    def _walk(self, start: _Bound, *, has_marks: bool, has_closed: bool) -> str:
        key = columns_of(Job, self.alias)["organization_id"].kind
        marks = (
            "mark(t, o, k, r, i) AS (SELECT * FROM unnest(%(mark_t)s::text[], "
            f"%(mark_o)s::{key}[], %(mark_k)s::bigint[], %(mark_r)s::timestamptz[], %(mark_i)s::bigint[])), "
        )
        limit = "statement_timestamp() - %(margin)s * interval '1 second'"
        following = self._marked_step if has_marks else self._step
        parts = [
            f"SELECT {bound.job_type}, step.*, {self._counted(bound, key if has_closed else '')} "
            f"FROM {bound.source}, LATERAL ({following(bound)}) AS step"
            for bound in (start, _WALK)
        ]
        return (
            f"WITH RECURSIVE kinds(t) AS (SELECT * FROM unnest(%(types)s::text[])), {marks if has_marks else ''}"
            f"walk(t, o, k, r, i, n, m) AS ({parts[0]} UNION ALL {parts[1]} WHERE walk.m < %(count)s) "
            f"SELECT o, t, k, r::text, i, coalesce(r <= {self.sql_now()}, false), "
            f"coalesce(o > %(after)s::{key}, false), "
            f"coalesce(r <= {limit}, false), ({limit})::text FROM walk ORDER BY o, t, k"
        )

    def _counted(self, bound: _Bound, closed_key: str) -> str:
        """Return SQL that counts the lanes of a step's organization, and those of its type, up to this one.

        ``closed_key`` is the kind of an organization's key where some lanes are full or passed.
        """
        is_open = _is_open(bound, closed_key) if closed_key else "TRUE"
        before = f"CASE WHEN {bound.organization} = step.o THEN {bound.counted} ELSE 0 END"
        own = f"{before} + CASE WHEN step.r <= {self.sql_now()} AND {is_open} THEN 1 ELSE 0 END"
        if closed_key:
            own = f"CASE WHEN {_is_passed(bound, closed_key)} THEN %(most)s ELSE {own} END"
        return f"{own}, {bound.total} + CASE WHEN {is_open} THEN 1 ELSE 0 END"

    def _step(self, bound: _Bound, also: str = "TRUE") -> str:
        """Return SQL for the first job behind a bound, which is the first of its lane."""
        wheres = (further.format(o="organization_id", k="lane_key") for further in bound.further)
        return " UNION ALL ".join(f"({self._first(bound, f'{where} AND {also}')})" for where in wheres)

    def _first(self, bound: _Bound, where: str) -> str:
        return (
            "SELECT organization_id AS o, lane_key AS k, ready_at AS r, id AS i FROM "
            f"{self.jobs_table} WHERE {_named(self.in_lane)} AND job_type_id = {bound.job_type} AND {where} "
            f"{LANE_ORDER} LIMIT 1"
        )

    def _marked_step(self, bound: _Bound) -> str:
        """Return SQL for the first job behind a bound and before the next marked lane; without one, for that lane.

        An upper bound on the pair of organization and key would not end the scan before the marked lane's end. So there
        are two: organizations before that of the mark, and its own keys before that of the mark.
        """
        turns = (
            self._step(bound, "organization_id < mark.o"),
            self._first(
                bound,
                "organization_id = mark.o AND lane_key < mark.k "
                f"AND lane_key > CASE WHEN {bound.organization} = mark.o THEN {bound.key} ELSE {_LEAST} END",
            ),
            self._step(bound, "mark.o IS NULL"),
            "SELECT mark.o, mark.k, first.r, first.i FROM (SELECT 1) AS one LEFT JOIN LATERAL ("
            + self._first(
                bound, "organization_id = mark.o AND lane_key = mark.k AND (ready_at, id) >= (mark.r, mark.i)"
            )
            + ") AS first ON TRUE WHERE mark.o IS NOT NULL",
        )
        choices = " UNION ALL ".join(f"SELECT {turn}, * FROM ({sql}) AS turn_{turn}" for turn, sql in enumerate(turns))
        is_behind = " OR ".join(f"({further.format(o='o', k='k')})" for further in bound.further)
        return (
            "SELECT found.o, found.k, found.r, found.i FROM (SELECT 1) AS one LEFT JOIN LATERAL ("
            f"SELECT * FROM mark WHERE mark.t = {bound.job_type} AND ({is_behind}) ORDER BY o, k LIMIT 1"
            f") AS mark ON TRUE, "
            f"LATERAL (SELECT * FROM ({choices}) AS choices(turn, o, k, r, i) ORDER BY turn LIMIT 1) AS found"
        )


#: Below every key of a lane.
_LEAST: Final = "'-9223372036854775808'::bigint"


def _is_open(bound: _Bound, key: str) -> str:
    """Return SQL that a step's lane counts for the size of a page."""
    full = f"unnest(%(full_t)s::text[], %(full_o)s::{key}[], %(full_k)s::bigint[]) AS f(t, o, k)"
    is_full = f"EXISTS (SELECT 1 FROM {full} WHERE f.t = {bound.job_type} AND f.o = step.o AND f.k = step.k)"
    return f"NOT ({_is_passed(bound, key)} OR {is_full})"


def _is_passed(bound: _Bound, key: str) -> str:
    """Return SQL that the other lanes of a step's organization and type are hopped over."""
    passed = f"unnest(%(passed_t)s::text[], %(passed_o)s::{key}[]) AS p(t, o)"
    return f"EXISTS (SELECT 1 FROM {passed} WHERE p.o = step.o AND p.t IN ({bound.job_type}, '{ALL_TYPES}'))"


def _marks(values: Sequence[Any]) -> str:
    return ", ".join(["%s"] * len(values))


def _named(condition: str) -> str:
    return condition.replace("%s", "%(priority)s")
