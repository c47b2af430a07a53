"""The walk over the lanes in one statement, which may begin behind dead entries."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, Final, NamedTuple, TypeVar

from django.db.models import QuerySet

from django_jobs.engine import timing
from django_jobs.engine.store.base_backlog import LANE_ORDER, NO_MARKS
from django_jobs.engine.store.postgresql_core import columns_of
from django_jobs.engine.store.postgresql_reads import PostgreSQLReads
from django_jobs.engine.store.values import (
    ALL_TYPES,
    LANE_BEGIN,
    Candidate,
    Condition,
    InFlightMark,
    Lane,
    LaneMark,
    LaneStep,
    Walk,
)
from django_jobs.models import Job

#: The columns of the index of lanes.
INDEX: Final = ("is_delayed", "priority", "job_type_id", "organization_id", "lane_key", "ready_at", "id")
#: Below every key of a lane.
_LEAST: Final = "'-9223372036854775808'::bigint"


class Behind(NamedTuple):
    """That a lane lies behind these values of its organization and key, in SQL; and what else must hold."""

    values: tuple[str, ...] = ()
    also: str = "TRUE"

    def within_type(self, *columns: str) -> str:
        """Return SQL for lanes of one type; ``columns`` are the organization and the key."""
        if not self.values:
            return self.also
        count = len(self.values)
        return f"({', '.join(columns[:count])}) > ({', '.join(self.values)}) AND {self.also}"

    def from_priority(self, job_type: str) -> str:
        """Return SQL for lanes of any priority and type behind these."""
        columns = INDEX[1 : 3 + len(self.values)]
        operator = ">" if self.values else ">="
        values = ("%(priority)s::smallint", job_type, *self.values)
        return f"({', '.join(columns)}) {operator} ({', '.join(values)}) AND {self.also}"


class Bound(NamedTuple):
    """SQL for where the walk is: a lane lies behind it if it does behind one of these.

    That is one at a time, so that each may be a bound of the index. ``job_type`` is the type that is walked, from
    ``source``. ``organization`` and ``key`` are of the lane in which the walk is, if it is in one; ``counted`` lanes of
    its organization and ``total`` of its type were counted so far.
    """

    behind: tuple[Behind, ...]
    source: str = "kinds"
    job_type: str = "kinds.t"
    organization: str = "NULL"
    key: str = "NULL::bigint"
    counted: str = "0"
    total: str = "0"


NO_BOUND: Final = Bound((Behind(),))
BEHIND: Final = Bound((Behind(("%(behind)s",)),))
LAST: Final = Bound((Behind(("%(o)s", "%(k)s")),), organization="%(o)s", key="%(k)s::bigint")
_WALK: Final = Bound(
    (Behind(("walk.o", "walk.k"), "walk.n < %(most)s"), Behind(("walk.o",), "walk.n >= %(most)s")),
    "walk",
    "walk.t",
    "walk.o",
    "walk.k",
    "walk.n",
    "walk.m",
)
#: What a walk reads of a lane's first job.
_LANE: Final = "job_type_id AS t, organization_id AS o, lane_key AS k, ready_at AS r, id AS i"
#: Whether the other lanes of a step's organization and type are hopped over, and whether its lane counts for a page's
#: size. Looking a key up in an object is much quicker than asking rows, and than comparing it with all of an array.
_STATE: Final = (
    "(SELECT is_passed, NOT is_passed AND NOT jsonb_exists((SELECT of_keys FROM closed), "
    "{t} || ' ' || step.o || ' ' || step.k) AS is_open FROM (SELECT jsonb_exists(passed, {t} || ' ' || step.o) "
    f"OR jsonb_exists(passed, '{ALL_TYPES}' || ' ' || step.o) AS is_passed FROM closed) AS found)"
)
T = TypeVar("T")


class PostgreSQLLanes(PostgreSQLReads):
    """The walk over the lanes, and counts beside a long snapshot."""

    # The statement that walks over the lanes of several types, each from lane to lane by the index.

    in_lane: ClassVar[str] = "priority = (SELECT %s::smallint) AND ready_at IS NOT NULL AND NOT is_delayed"

    def walk_sql(self, start: Bound, *, has_marks: bool, has_closed: bool) -> str:
        key = columns_of(Job, self.alias)["organization_id"].sql_type
        marks = (
            "mark(t, o, k, r, i) AS (SELECT * FROM unnest(%(mark_t)s::text[], "
            f"%(mark_o)s::{key}[], %(mark_k)s::bigint[], %(mark_r)s::timestamptz[], %(mark_i)s::bigint[])), "
        )
        limit = "statement_timestamp() - %(margin)s * interval '1 second'"
        following = self._marked_step if has_marks else self._step
        state = _STATE if has_closed else "(SELECT false AS is_passed, true AS is_open)"
        parts = [
            f"SELECT {bound.job_type}, step.*, {self._counted(bound)} FROM {bound.source}, "
            f"LATERAL ({following(bound)}) AS step, LATERAL {state.replace('{t}', bound.job_type)} AS state"
            for bound in (start, _WALK)
        ]
        return (
            f"WITH RECURSIVE kinds(t) AS (SELECT * FROM unnest(%(types)s::text[])), {marks if has_marks else ''}"
            f"{_closed(key) if has_closed else ''}"
            f"walk(t, o, k, r, i, n, m) AS ({parts[0]} UNION ALL {parts[1]} WHERE walk.m < %(count)s) "
            f"SELECT o, t, k, r::text, i, coalesce(r <= {self.sql_now()}, false), "
            f"coalesce(o > %(after)s::{key}, false), "
            f"coalesce(r <= {limit}, false), ({limit})::text FROM walk ORDER BY o, t, k"
        )

    def _counted(self, bound: Bound) -> str:
        """Return SQL that counts the lanes of a step's organization, and those of its type, up to this one."""
        before = f"CASE WHEN {bound.organization} = step.o THEN {bound.counted} ELSE 0 END"
        own = f"{before} + CASE WHEN step.r <= {self.sql_now()} AND is_open THEN 1 ELSE 0 END"
        return f"CASE WHEN is_passed THEN %(most)s ELSE {own} END, {bound.total} + CASE WHEN is_open THEN 1 ELSE 0 END"

    def _step(self, bound: Bound) -> str:
        """Return SQL for the first job behind a bound, which is the first of its lane, if it is of the bound's type.

        Priority and type are no conditions of the scan, only its beginning: by them, an index of all jobs of a type
        would look as good to the planner; and of two conditions on the priority the weaker one may say where it begins.
        """
        found = []
        for behind in bound.behind:
            where = f"{self._in_any_lane()} AND {behind.from_priority(bound.job_type)}"
            order = f"ORDER BY {', '.join(INDEX[1:])}"
            first = f"SELECT priority AS p, {_LANE} FROM {self.jobs_table} WHERE {where} {order} LIMIT 1"
            own = f"p = %(priority)s::smallint AND t = {bound.job_type}"
            found.append(f"(SELECT o, k, r, i FROM ({first}) AS f WHERE {own})")
        return " UNION ALL ".join(found)

    def _in_any_lane(self) -> str:
        return self.in_lane.replace("priority = (SELECT %s::smallint) AND ", "")

    def _first_of(self, bound: Bound, where: str) -> str:
        """Return SQL for the first job of the bound's type."""
        of_type = f"{named(self.in_lane)} AND job_type_id = {bound.job_type} AND {where}"
        return (
            f"SELECT o, k, r, i FROM (SELECT {_LANE} FROM {self.jobs_table} WHERE {of_type} {LANE_ORDER} LIMIT 1) AS f"
        )

    def _before(self, bound: Bound, limit: str) -> str:
        """Return SQL for the first job of the bound's type behind it, whose lane is before a limit."""
        wheres = [behind.within_type("organization_id", "lane_key") for behind in bound.behind]
        return " UNION ALL ".join(f"({self._first_of(bound, f'{where} AND {limit}')})" for where in wheres)

    def _marked_step(self, bound: Bound) -> str:
        """Return SQL for the first job behind a bound and before the next marked lane; without one, for that lane.

        An upper bound on the pair of organization and key would not end the scan before the marked lane's end. So there
        are two: organizations before that of the mark, and its own keys before that of the mark.
        """
        own_key = f"CASE WHEN {bound.organization} = mark.o THEN {bound.key} ELSE {_LEAST} END"
        own_keys = f"organization_id = mark.o AND lane_key < mark.k AND lane_key > {own_key}"
        marked = "organization_id = mark.o AND lane_key = mark.k AND (ready_at, id) >= (mark.r, mark.i)"
        at_mark = f"LEFT JOIN LATERAL ({self._first_of(bound, marked)}) AS first ON TRUE WHERE mark.o IS NOT NULL"
        turns = (
            self._before(bound, "organization_id < mark.o"),
            self._first_of(bound, own_keys),
            self._before(bound, "mark.o IS NULL"),
            f"SELECT mark.o, mark.k, first.r, first.i FROM (SELECT 1) AS one {at_mark}",
        )
        choices = " UNION ALL ".join(f"SELECT {turn}, * FROM ({sql}) AS turn_{turn}" for turn, sql in enumerate(turns))
        is_behind = " OR ".join(f"({behind.within_type('o', 'k')})" for behind in bound.behind)
        next_mark = f"SELECT * FROM mark WHERE mark.t = {bound.job_type} AND ({is_behind}) ORDER BY o, k LIMIT 1"
        return (
            f"SELECT found.o, found.k, found.r, found.i FROM (SELECT 1) AS one "
            f"LEFT JOIN LATERAL ({next_mark}) AS mark ON TRUE, "
            f"LATERAL (SELECT * FROM ({choices}) AS choices(turn, o, k, r, i) ORDER BY turn LIMIT 1) AS found"
        )

    # The walk over the lanes in one statement, which may begin behind dead entries.
    #
    # The hop to a lane visits every entry of the index before the lane's first job. While a snapshot is open, the
    # entries of jobs that went stay there, in front of each lane. So a walk may be given marks: it looks at the
    # lanes between two marked ones as ever, bounded by the second, and at a marked lane from its mark on.
    #
    # None of this may hang on what the last ANALYZE saw. Where it met no job of a priority, type or organization,
    # the planner takes another index for as good as the one of the lanes, reads all that is in it, ended jobs
    # included, and sorts what is left, at every step of a walk. So it is left no other way: a value in a subselect
    # fits no predicate of a partial index that leaves out what is usual; and a lane is given by bounds of a row
    # whose first column is in no other index, in the order of all columns.

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
            "margin": timing.WALK_MARGIN_SECONDS,
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
        key, most = columns_of(Job, self.alias)["organization_id"].sql_type, max(limit for _, limit in taken)
        rows = self.fetch(_heads_sql(self.jobs_table, key, 1 << (most - 1).bit_length()), params)
        return [Candidate(taken[number - 1][0], since, pk, attempt) for number, since, pk, attempt in rows]

    def nothing_waits_of(self, organization_key: Any, priority: int) -> Condition:
        first = (
            f"SELECT priority, job_type_id, organization_id FROM {self.jobs_table} WHERE ready_at IS NOT NULL AND "
            f"({', '.join(INDEX[:4])}) >= (false, %s, kinds.type_name, %s) "
            f"ORDER BY {', '.join(INDEX)} LIMIT 1"
        )
        own = "priority = %s AND job_type_id = kinds.type_name AND organization_id = %s"
        sql = f"NOT EXISTS (SELECT 1 FROM {self.types_table} kinds, LATERAL ({first}) AS first WHERE {own})"
        return Condition(sql, (priority, organization_key, priority, organization_key))

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

    # Counting what is in flight beside a long snapshot.
    #
    # While a snapshot is open, as a pg_dump holds one for as long as it takes, every job that was in flight leaves
    # entries in the index that nobody can remove. A count over the whole index visits all of them. One from a mark
    # on visits those that were queued since then, by the moment at which they were; and by their keys the few that
    # were queued before.

    def mark_in_flight(self, mark: InFlightMark | None = None) -> InFlightMark | None:
        rows, params = self._in_flight_rows(mark)
        ((since, pks),) = self._ask(
            "WITH mark AS (SELECT statement_timestamp() - %s * interval '1 second' AS since) "
            f"SELECT since, ARRAY(SELECT id FROM {rows} AND (queued_at >= since) IS NOT TRUE) FROM mark",
            [timing.COUNT_MARGIN_SECONDS, *params],
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


def _closed(key: str) -> str:
    """Return the part that has, as texts, the lanes that are full, and the organizations and types that are passed."""
    full = f"unnest(%(full_t)s::text[], %(full_o)s::{key}[], %(full_k)s::bigint[]) AS f(t, o, k)"
    passed = f"unnest(%(passed_t)s::text[], %(passed_o)s::{key}[]) AS p(t, o)"
    return (
        "closed(of_keys, passed) AS MATERIALIZED (SELECT "
        f"coalesce((SELECT jsonb_object_agg(t || ' ' || o || ' ' || k, 1) FROM {full}), '{{}}'), "
        f"coalesce((SELECT jsonb_object_agg(t || ' ' || o, 1) FROM {passed}), '{{}}')), "
    )


def named(condition: str) -> str:
    return condition.replace("%s", "%(priority)s")


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
    types = {"t": "text", "o": key, "k": "bigint", "r": "timestamptz", "i": "bigint", "m": "bigint"}
    arrays = ", ".join(f"%({name})s::{sql_type}[]" for name, sql_type in types.items())
    lanes = f"unnest({arrays}) WITH ORDINALITY AS l(t, o, k, r, i, m, n)"
    own = "d = %(delayed)s::boolean AND p = %(priority)s::smallint AND f.t = l.t AND f.o = l.o AND f.k = l.k"
    return (
        f"SELECT l.n, extract(epoch FROM f.r)::double precision, f.i, f.a FROM {lanes}, "
        f"LATERAL (SELECT * FROM ({first}) AS b LIMIT l.m) AS f WHERE {own} AND (d OR f.r <= statement_timestamp())"
    )
