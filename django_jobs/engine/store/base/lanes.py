"""The backlog, lane by lane: see :mod:`django_jobs.engine.store.lane_values`."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final

from django.db import connections
from django.db.models import QuerySet

from django_jobs.engine.store.base.transactions import Transactions, as_moment
from django_jobs.engine.store.lane_values import Candidate, Lane, LaneStep
from django_jobs.models import Job

#: The order of the index; with all of it the planner is left one way.
LANE_ORDER: Final = "ORDER BY organization_id, job_type_id, ready_at, id"


class Lanes(Transactions):
    """Looking at what waits, so that the cost follows what is taken and not what waits."""

    #: SQL that a row is in a lane of the priority that is its parameter.
    in_lane: ClassVar[str] = "priority = %s AND ready_at IS NOT NULL"
    #: SQL by which the jobs of two lanes are compared: a number, since reading times back is what costs here.
    ready_since: ClassVar[str] = "ready_at"

    @functools.cached_property
    def jobs_table(self) -> str:
        """The quoted name of the table of jobs."""
        return str(self.connection.ops.quote_name(Job._meta.db_table))

    def sql_is_due(self) -> str:
        """Return SQL that the moment has come from which a job may be dispatched."""
        return f"ready_at <= {self.sql_now()}"

    def waiting_jobs(self) -> QuerySet[Job]:
        """Return the jobs that wait for dispatch, in no order, so that the database uses its index of them."""
        return Job.primary.order_by().filter(ready_at__isnull=False)

    def waiting_priorities(self, priorities: Sequence[int]) -> list[int]:
        """Return those of the priorities that have lanes, in the given order; one statement."""
        exists = f"EXISTS (SELECT 1 FROM {self.jobs_table} WHERE {self.in_lane})"
        (found,) = self._ask(f"SELECT {', '.join([exists] * len(priorities))}", list(priorities))
        return [priority for priority, waits in zip(priorities, found, strict=True) if waits]

    def lanes(
        self, priority: int, after: Any, count: int, *, last: Lane | None = None, behind: bool = False
    ) -> list[LaneStep]:
        """Return up to ``count`` lanes of a priority in their order, due or not: a loose index scan.

        The first is the one behind the lane ``last``; without it, with ``behind``, the first behind all lanes of the
        organization ``after``; else the first of all. What lies behind what is the database's to say, which sorts
        texts and UUIDs in its own way.
        """
        found: list[LaneStep] = []
        start, start_params = self._start(after, last, behind=behind)
        is_behind, after_params = self.sql_is_behind("organization_id", after)
        while len(found) < count:
            rows = self._ask(
                f"SELECT organization_id, job_type_id, {self.sql_is_due()}, {is_behind} FROM {self.jobs_table} "
                f"WHERE {self.in_lane} {start} ORDER BY organization_id, job_type_id, ready_at LIMIT 1",
                [*after_params, priority, *start_params],
            )
            if not rows:
                break
            found += self._steps(rows)
            start, start_params = self._start(after, found[-1].lane, behind=behind)
        return found

    def heads(self, priority: int, taken: Sequence[tuple[Lane, int]], *, due: bool = True) -> list[Candidate]:
        """Return the longest-ready jobs of each lane, at most the given number of each; one statement for all lanes.

        Only those that are ``due``, or also those that wait for their moment.
        """
        is_due = f"AND {self.sql_is_due()} " if due else ""
        parts: list[str] = []
        params: list[Any] = []
        for index, (lane, limit) in enumerate(taken):
            parts.append(
                f"SELECT * FROM (SELECT organization_id, {self.ready_since} AS ready_since, id "
                f"FROM {self.jobs_table} WHERE {self.in_lane} AND organization_id = %s AND job_type_id = %s {is_due}"
                f"ORDER BY ready_at, id LIMIT %s) AS lane_{index}"
            )
            params += [priority, self.key_to_database(lane.organization_pk), lane.job_type, limit]
        if not parts:
            return []
        return [
            Candidate(organization_pk=self.key_from_database(key), ready_since=_as_number(moment), pk=pk)
            for key, moment, pk in self._ask(" UNION ALL ".join(parts), params)
        ]

    # An organization's primary key, as models have it and as this database does.

    def key_to_database(self, pk: Any) -> Any:
        """Return an organization's primary key as a parameter of a statement."""
        return _organization().field.get_db_prep_value(pk, self.connection)

    def key_from_database(self, value: Any) -> Any:
        """Return an organization's primary key as models have it: SQLite and MariaDB know no UUID, for one."""
        column = _organization()
        for convert in _converters(self.alias):
            value = convert(value, column.expression, self.connection)
        return value

    # Parts of the walk.

    def sql_is_behind(self, column: str, after: Any) -> tuple[str, list[Any]]:
        """Return SQL that an organization's lanes lie behind those of ``after``, and its parameters."""
        return ("1 = 0", []) if after is None else (f"{column} > %s", [self.key_to_database(after)])

    def _start(self, after: Any, last: Lane | None, *, behind: bool) -> tuple[str, list[Any]]:
        if last is not None:
            key = self.key_to_database(last.organization_pk)
            sql = "AND (organization_id > %s OR (organization_id = %s AND job_type_id > %s))"
            return sql, [key, key, last.job_type]
        return ("AND organization_id > %s", [self.key_to_database(after)]) if behind else ("", [])

    def _steps(self, rows: Sequence[tuple[Any, ...]]) -> list[LaneStep]:
        return [
            LaneStep(
                lane=Lane(organization_pk=self.key_from_database(key), job_type=job_type),
                is_due=bool(is_due),
                is_behind=bool(is_behind),
            )
            for key, job_type, is_due, is_behind in rows
        ]

    def _ask(self, sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        # Never prepared: whether an index or a scan is right for "does anything wait" depends on the priority.
        with self.connection.cursor() as cursor:
            cursor.execute(sql, params)
            return list(cursor.fetchall())


def _as_number(value: Any) -> float:
    """Return the number that a vendor's SQL gave, or that of a time."""
    number: float = as_moment(value).timestamp() if isinstance(value, str | dt.datetime) else value
    return number


class _Column:
    """The column of a job that has its organization's primary key."""

    def __init__(self) -> None:
        field: Any = Job._meta.get_field("organization")
        self.expression = field.get_col(Job._meta.db_table)
        self.field = self.expression.output_field


@functools.cache
def _organization() -> _Column:
    return _Column()


@functools.cache
def _converters(alias: str) -> tuple[Callable[..., Any], ...]:
    """What the ORM does to a value of that column that it reads: what the driver needs, then what the field does."""
    connection, expression = connections[alias], _organization().expression
    return (*connection.ops.get_db_converters(expression), *expression.get_db_converters(connection))
