"""Walking the waiting jobs lane by lane, so that the cost follows what is taken and not what waits.

A lane is a (priority, organization, job type). Lanes are hopped over the index that is kept for this, starting behind
the organization that was served last; paused types and inactive organizations are skipped as lanes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from django_jobs.engine.store import database
from django_jobs.engine.transitions import Condition
from django_jobs.models import Job
from django_jobs.statuses import IN_FLIGHT

LANES_AT_ONCE = 50
#: The order of the index, which leaves the planner one way.
_LANE_ORDER: Final = "ORDER BY organization_id, job_type_id, ready_at, id"


class Lane(NamedTuple):
    """Jobs of one organization and type that wait with one priority."""

    organization_pk: Any
    job_type: str


class _Step(NamedTuple):
    """A lane of the walk, whether any of its jobs is due, and whether it lies behind the organization served last."""

    lane: Lane
    is_due: bool
    is_behind: bool


class Candidate(NamedTuple):
    """A job that may be dispatched now."""

    organization_pk: Any
    ready_since: float
    pk: int


@functools.cache
def _names() -> dict[str, str]:
    connection = database.connection()
    partial = connection.vendor != "mysql"
    return {
        "table": connection.ops.quote_name(Job._meta.db_table),
        "lane": "priority = %s AND ready_at IS NOT NULL" if partial else "ready_priority = %s",
        # A number, whose only use is to compare; reading times back is what costs here.
        "moment": {
            "postgresql": "extract(epoch FROM ready_at)::double precision",
            "mysql": "UNIX_TIMESTAMP(ready_at)",
            "sqlite": "julianday(ready_at)",
        }[connection.vendor],
        "now": {
            "postgresql": "statement_timestamp()",
            "mysql": "UTC_TIMESTAMP(6)",
            "sqlite": "strftime('%%Y-%%m-%%d %%H:%%M:%%f999', 'now')",  # to the end of the millisecond
        }[connection.vendor],
    }


@functools.cache
def _organization_column() -> tuple[Any, tuple[Callable[..., Any], ...]]:
    """How the tenant's primary key looks to Django, and what makes it of what this database gives."""
    column: Any = Job._meta.get_field("organization").get_col(Job._meta.db_table)
    connection = database.connection()
    makers = [*connection.ops.get_db_converters(column), *column.get_db_converters(connection)]
    return column, tuple(makers)


def _from_database(value: Any) -> Any:
    """An organization's primary key as models have it: SQLite and MariaDB know no UUID, for one."""
    column, makers = _organization_column()
    for make in makers:
        value = make(value, column, database.connection())
    return value


def _for_database(pk: Any) -> Any:
    return _organization_column()[0].output_field.get_db_prep_value(pk, database.connection())


def _rows(sql: str, params: list[Any]) -> list[tuple[Any, ...]]:
    # Never prepared: whether an index or a scan is right for "does anything wait" depends on the priority asked for.
    with database.connection().cursor() as cursor:
        cursor.execute(sql.format(**_names()), params)
        return list(cursor.fetchall())


def waiting_priorities(priorities: Sequence[int]) -> list[int]:
    """Those of the priorities that have lanes, in the given order; one statement."""
    exists = "EXISTS (SELECT 1 FROM {table} WHERE {lane})"
    found = _rows(f"SELECT {', '.join([exists] * len(priorities))}", list(priorities))[0]
    return [priority for priority, waits in zip(priorities, found, strict=True) if waits]


def is_due(pk: int) -> Condition:
    """The condition that a job waits and that its moment has come."""
    return Condition("(SELECT ready_at <= {now} FROM {table} WHERE id = %s)".format(**_names()), (pk,))


def nothing_else_waits(priority: int, pk: int) -> Condition:
    """The condition that no job but this one waits with a priority, due or not."""
    sql = f"(SELECT id FROM {{table}} WHERE {{lane}} AND id <> %s {_LANE_ORDER} LIMIT 1) IS NULL"
    return Condition(sql.format(**_names()), (priority, pk))


def nothing_waits_of(organization_pk: Any, priority: int) -> Condition:
    """The condition that no job of an organization waits with a priority, due or not."""
    sql = f"(SELECT id FROM {{table}} WHERE {{lane}} AND organization_id = %s {_LANE_ORDER} LIMIT 1) IS NULL"
    return Condition(sql.format(**_names()), (priority, _for_database(organization_pk)))


def has_fewer_in_flight(organization_pk: Any, count: int) -> Condition:
    """The condition that fewer jobs of an organization than ``count`` are queued or running."""
    # Literal statuses leave the planner one way, so that its plan may be kept.
    statuses = ", ".join(f"'{status}'" for status in sorted(IN_FLIGHT))
    sql = f"(SELECT COUNT(*) FROM {{table}} WHERE status IN ({statuses}) AND organization_id = %s) < %s"
    return Condition(sql.format(**_names()), (_for_database(organization_pk), count))


def all_of(*conditions: Condition) -> Condition:
    """The condition that each of these holds."""
    return _joined(" AND ", conditions)


def any_of(*conditions: Condition) -> Condition:
    """The condition that one of these holds, at least."""
    return _joined(" OR ", conditions)


def _joined(word: str, conditions: Sequence[Condition]) -> Condition:
    params = tuple(value for condition in conditions for value in condition.params)
    return Condition(f"({word.join(condition.sql for condition in conditions)})", params)


def lanes(priority: int, after: Any) -> Iterator[Lane]:
    """Every lane of a priority with a due job, once: those behind the organization ``after`` first, then the others.

    What lies behind what is the database's to say: it sorts texts and UUIDs in its own way.
    """
    found = _next_lanes(priority, after)
    if after is None or len(found) < LANES_AT_ONCE:
        yield from (step.lane for step in found if step.is_due and step.is_behind)
        yield from (step.lane for step in found if step.is_due and not step.is_behind)
        if len(found) == LANES_AT_ONCE:
            yield from _lanes_from(priority, after, found[-1].lane)
        return
    yield from _lanes_from(priority, after, None, behind=True)
    yield from _lanes_from(priority, after, None)


def lanes_page(priority: int, last: Lane | None) -> list[Lane]:
    """Up to LANES_AT_ONCE lanes of a priority, due or not, in order, behind the lane ``last``."""
    return [step.lane for step in _next_lanes(priority, None, last)]


def _lanes_from(priority: int, after: Any, last: Lane | None, *, behind: bool = False) -> Iterator[Lane]:
    """The lanes with due jobs that are, or are not, behind ``after``, page by page."""
    while True:
        found = _next_lanes(priority, after, last, behind=behind and last is None)
        for step in found:
            if step.is_behind and not behind:
                return
            if step.is_due:
                yield step.lane
        if len(found) < LANES_AT_ONCE:
            return
        last = found[-1].lane


def _next_lanes(priority: int, after: Any, last: Lane | None = None, *, behind: bool = False) -> list[_Step]:
    """Up to LANES_AT_ONCE lanes behind ``last`` (or ``behind`` all of ``after``'s), by index hops in one statement."""
    if last is not None:
        start, start_params = "AND (organization_id, job_type_id) > (%s, %s)", [_for_database(last[0]), last[1]]
    elif behind:
        start, start_params = "AND organization_id > %s", [_for_database(after)]
    else:
        start, start_params = "", []
    if database.connection().vendor == "mysql":
        return _hop_by_hop(priority, after, start, start_params)
    order = "ORDER BY organization_id, job_type_id, ready_at LIMIT 1"
    first = f"SELECT organization_id, job_type_id, ready_at <= {{now}} FROM {{table}} WHERE {{lane}} {start} {order}"
    correlated = [
        f"(SELECT {column} FROM {{table}} WHERE {{lane}} AND (organization_id, job_type_id) > (walk.o, walk.t) {order})"
        for column in ("organization_id", "job_type_id", "ready_at <= {now}")
    ]
    is_behind, after_params = _behind("o", after)
    sql = (
        f"WITH RECURSIVE walk(o, t, due) AS (SELECT * FROM ({first}) AS start_lane UNION ALL "
        f"SELECT {', '.join(correlated)} FROM walk WHERE walk.o IS NOT NULL) "
        f"SELECT o, t, due, {is_behind} FROM walk WHERE o IS NOT NULL LIMIT {LANES_AT_ONCE}"
    )
    return [_step(row) for row in _rows(sql, [priority, *start_params, *[priority] * 3, *after_params])]


def _behind(column: str, after: Any) -> tuple[str, list[Any]]:
    return ("1 = 0", []) if after is None else (f"{column} > %s", [_for_database(after)])


def _step(row: tuple[Any, ...]) -> _Step:
    return _Step(Lane(_from_database(row[0]), row[1]), bool(row[2]), bool(row[3]))


def _hop_by_hop(priority: int, after: Any, start: str, start_params: list[Any]) -> list[_Step]:
    """The same walk with a statement a hop, where a recursive query may not look at the table again."""
    found: list[_Step] = []
    is_behind, after_params = _behind("organization_id", after)
    while len(found) < LANES_AT_ONCE:
        rows = _rows(
            f"SELECT organization_id, job_type_id, ready_at <= {{now}}, {is_behind} FROM {{table}} "
            f"WHERE {{lane}} {start} ORDER BY organization_id, job_type_id, ready_at LIMIT 1",
            [*after_params, priority, *start_params],
        )
        if not rows:
            return found
        found.append(_step(rows[0]))
        start = "AND (organization_id > %s OR (organization_id = %s AND job_type_id > %s))"
        start_params = [rows[0][0], rows[0][0], rows[0][1]]
    return found


def heads(priority: int, taken: list[tuple[Lane, int]], *, due: bool = True) -> list[Candidate]:
    """The longest-ready jobs of each lane, at most the given number of each; one statement for all lanes.

    Only those that are ``due``, or also those that wait for their moment.
    """
    one = (
        "SELECT * FROM (SELECT organization_id, {moment}, id FROM {table} "
        f"WHERE {{lane}} AND organization_id = %s AND job_type_id = %s {'AND ready_at <= {now} ' if due else ''}"
        "ORDER BY ready_at, id LIMIT %s) AS lane_{index}"
    )
    parts, params = [], []
    for index, (lane, limit) in enumerate(taken):
        parts.append(one.replace("{index}", str(index)))
        params += [priority, _for_database(lane.organization_pk), lane.job_type, limit]
    if not parts:
        return []
    return [Candidate(_from_database(row[0]), *row[1:]) for row in _rows(" UNION ALL ".join(parts), params)]
