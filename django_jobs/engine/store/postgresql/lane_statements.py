"""The statement that walks over the lanes of several types, each from lane to lane by the index."""

from __future__ import annotations

from typing import ClassVar, Final, NamedTuple

from django_jobs.engine.store.base import Store
from django_jobs.engine.store.base.lanes import LANE_ORDER
from django_jobs.engine.store.lane_values import ALL_TYPES
from django_jobs.engine.store.postgresql.columns import columns_of
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


class LaneStatements(Store):
    """Makes the statement."""

    in_lane: ClassVar[str] = "priority = (SELECT %s::smallint) AND ready_at IS NOT NULL AND NOT is_delayed"

    def walk_sql(self, start: Bound, *, has_marks: bool, has_closed: bool) -> str:
        key = columns_of(Job, self.alias)["organization_id"].kind
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


#: What a walk reads of a lane's first job.
_LANE: Final = "job_type_id AS t, organization_id AS o, lane_key AS k, ready_at AS r, id AS i"


#: Whether the other lanes of a step's organization and type are hopped over, and whether its lane counts for a page's
#: size. Looking a key up in an object is much quicker than asking rows, and than comparing it with all of an array.
_STATE: Final = (
    "(SELECT is_passed, NOT is_passed AND NOT jsonb_exists((SELECT of_keys FROM closed), "
    "{t} || ' ' || step.o || ' ' || step.k) AS is_open FROM (SELECT jsonb_exists(passed, {t} || ' ' || step.o) "
    f"OR jsonb_exists(passed, '{ALL_TYPES}' || ' ' || step.o) AS is_passed FROM closed) AS found)"
)


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
