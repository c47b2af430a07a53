"""The backlog and what is in flight: walks and counts that follow an index."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Final, TypeVar

from django.db.models import F, QuerySet

from django_jobs.engine.store.base_core import Params, StoreCore, as_moment
from django_jobs.engine.store.values import (
    Candidate,
    InFlightCount,
    InFlightJob,
    InFlightMark,
    Lane,
    LaneMark,
    LaneStep,
    Walk,
    place_in_lane,
)
from django_jobs.models import Job, JobType
from django_jobs.statuses import IN_FLIGHT, WAITING, Priority, Status

#: The order of the index; with all of it the planner is left one way.
LANE_ORDER: Final = "ORDER BY job_type_id, organization_id, lane_key, ready_at, id"
NO_MARKS: Final[Mapping[Lane, LaneMark]] = MappingProxyType({})
#: Literal, as the index has it: SQLite uses a partial index for nothing else.
_WAITS: Final = f"status IN ({', '.join(repr(str(status)) for status in sorted(WAITING))})"
T = TypeVar("T")


class StoreBacklog(StoreCore):
    """The backlog and what is in flight: reads and counts that follow an index."""

    # Rows in the order of an index: the first ones, and those behind others.

    def sql_in_order(self, rows: QuerySet[Any, Any]) -> tuple[str, tuple[Any, ...]]:
        """Return SQL and parameters of a sliced queryset whose rows an index has in their order.

        Raises EmptyResultSet where nothing can match.
        """
        sql, params = rows.query.get_compiler(self.alias).as_sql()
        return sql, tuple(params)

    def read_in_order(self, rows: QuerySet[Any, Any]) -> list[tuple[Any, ...]]:
        """Return the rows of a sliced ``values_list`` that an index has in their order."""
        return list(rows)

    def read_behind(self, rows: QuerySet[Any, Any], offset: int) -> list[tuple[Any, ...]]:
        """Return the rows of a ``values_list``, in which a slice that begins at the offset occurs once."""
        return list(rows)

    # Walking the jobs of one type in the order of an index, organization by organization, past none of another type.

    def of_type(self, job_type: str, behind: Any = None) -> QuerySet[Job]:
        """Return a type's jobs by the keys of their organizations, of each the newest first.

        With ``behind``, the key of an organization, only those of the organizations after it.
        """
        rows = Job.primary.filter(job_type_id=job_type).order_by("organization_id", "-pk")
        return rows if behind is None else rows.filter(organization_id__gt=behind)

    def older_of_type(self, job_type: str, organization_pk: Any, pk: int) -> QuerySet[Job]:
        """Return an organization's jobs of a type that are older than one with this key, the newest first."""
        rows = Job.primary.filter(job_type_id=job_type, organization_id=organization_pk, pk__lt=pk)
        return rows.order_by("-pk")

    # The backlog, lane by lane (:mod:`.values`). The cost follows what is taken, not what waits.

    #: SQL that a row is in a lane of the priority that is its parameter.
    in_lane: ClassVar[str] = "priority = %s AND ready_at IS NOT NULL AND NOT is_delayed"
    #: The same of jobs that wait for their moment; it may hold for those in lanes as well.
    in_delayed_lane: ClassVar[str] = "priority = %s AND ready_at IS NOT NULL AND is_delayed"
    #: Whether walks begin at marks, and tell them.
    marks_lanes: ClassVar[bool] = False
    #: SQL by which the jobs of two lanes are compared: a number, since reading times back is what costs here.
    ready_since: ClassVar[str] = "ready_at"

    @functools.cached_property
    def jobs_table(self) -> str:
        """The quoted name of the table of jobs."""
        return str(self.connection.ops.quote_name(Job._meta.db_table))

    @functools.cached_property
    def types_table(self) -> str:
        """The quoted name of the table of job types."""
        return str(self.connection.ops.quote_name(JobType._meta.db_table))

    def sql_is_due(self) -> str:
        """Return SQL that the moment has come from which a job may be dispatched."""
        return f"ready_at <= {self.sql_now()}"

    def waiting_jobs(self) -> QuerySet[Job]:
        """Return the jobs that wait for dispatch or their moment, in no order.

        The condition on every value of a column lets the database use the index of lanes, which that column leads.
        """
        return Job.primary.order_by().filter(ready_at__isnull=False, is_delayed__in=[False, True])

    def blocked_jobs(self) -> QuerySet[Job]:
        """Return the jobs that wait for other jobs, in the order of their index.

        Without an order, PostgreSQL takes the two conditions for independent, expects many rows, and reads the table
        from its beginning until it has found some; where none is blocked, to its end.
        """
        return Job.primary.filter(status=Status.PENDING, ready_at__isnull=True).order_by("organization_id", "-id")

    def newest_of_type(self, job_type: str, organization_pk: Any) -> QuerySet[Job]:
        """Return an organization's jobs of one type, the newest first."""
        return Job.primary.filter(job_type_id=job_type, organization_id=organization_pk).order_by("-pk")

    def waiting_in_order(self, rows: QuerySet[Job]) -> QuerySet[Job]:
        """Return those of these jobs that wait for dispatch or their moment, in the order that costs the least."""
        return self.waiting_jobs() & rows

    def first_waiting(self, rows: QuerySet[Job], priority: int, limit: int) -> QuerySet[Job]:
        """Return up to ``limit`` of those of these jobs that wait with a priority, whichever costs the least."""
        # Written as `&` and not as a filter on the slice, which the database would apply too late.
        return (self.waiting_jobs() & rows).filter(priority=priority)[:limit]

    def waiting_priorities(self, priorities: Sequence[int]) -> list[int]:
        """Return those of the priorities that have lanes, in the given order; one statement."""
        # Not EXISTS, which drops the order, so that it may be planned as a scan of the table.
        first = f"(SELECT id FROM {self.jobs_table} WHERE {self.in_lane} {LANE_ORDER} LIMIT 1)"
        (found,) = self._ask(f"SELECT {', '.join([first] * len(priorities))}", list(priorities))
        return [priority for priority, pk in zip(priorities, found, strict=True) if pk is not None]

    def waiting_types(
        self, priorities: Sequence[int], *, delayed: bool = False, marked: Collection[tuple[int, str]] = ()
    ) -> list[tuple[int, str]]:
        """Return the priorities and types that have lanes, or with ``delayed`` jobs that wait for their moment.

        A loose index scan, priority by priority. A store may leave out those that are ``marked``, and not look at them.
        """
        which = self._which(delayed=delayed)
        first = f"SELECT job_type_id FROM {self.jobs_table} WHERE {which}"
        # Of all priorities at once, since mostly few of them have any.
        (firsts,) = self._ask(
            f"SELECT {', '.join([f'({first} {LANE_ORDER} LIMIT 1)'] * len(priorities))}", list(priorities)
        )
        found: list[tuple[int, str]] = []
        for priority, job_type in zip(priorities, firsts, strict=True):
            rows = [] if job_type is None else [(job_type,)]
            while rows:
                found.append((priority, rows[0][0]))
                rows = self._ask(f"{first} AND job_type_id > %s {LANE_ORDER} LIMIT 1", found[-1])
        return found

    def lanes(self, walk: Walk, count: int, marks: Mapping[Lane, LaneMark] = NO_MARKS) -> list[LaneStep]:
        """Return the next lanes of a walk: of each type ``count`` that are open, or all; by organization, type and key.

        Loose index scans. Lanes with a mark are looked at from there on, and told even if they have no job; a store may
        ignore the marks.
        """
        found = {pk: step for job_type in walk.job_types for pk, step in self._lanes_of(job_type, walk, count)}
        if len(walk.job_types) == 1 or not found:
            return list(found.values())
        rows = self._ask(
            f"SELECT id FROM {self.jobs_table} WHERE id IN ({', '.join(['%s'] * len(found))}) "
            "ORDER BY organization_id, job_type_id, lane_key",
            list(found),
        )
        return [found[pk] for (pk,) in rows]

    def _lanes_of(self, job_type: str, walk: Walk, count: int) -> Iterator[tuple[int, LaneStep]]:
        """Yield the lanes of one type, each with the key of its first job."""
        bound = walk.bound
        is_behind, after_params = "1 = 0", []
        if walk.after is not None:
            is_behind, after_params = "organization_id > %s", [self.key_to_database(walk.after)]
        start, start_params = self._start(walk)
        own, counted, total = None, 0, 0
        while total < count:
            rows = self._ask(
                f"SELECT organization_id, job_type_id, lane_key, {self.sql_is_due()}, {is_behind}, id "
                f"FROM {self.jobs_table} WHERE {self._which(delayed=walk.delayed)} AND job_type_id = %s {start} "
                f"{LANE_ORDER} LIMIT 1",
                [*after_params, walk.priority, job_type, *start_params],
            )
            if not rows:
                return
            ((key, type_name, lane_key, is_due, is_after, pk),) = rows
            lane = Lane(self.key_from_database(key), type_name, lane_key)
            step, is_open = LaneStep(lane, bool(is_due), bool(is_after)), bound.is_open(lane)
            yield pk, step
            counted = counted if own == lane.organization_pk else 0
            own, total = lane.organization_pk, total + is_open
            counted += is_open and step.is_due
            passed = counted >= bound.most or bound.is_passed(lane)
            start, start_params = self._start(walk._replace(last=None if passed else lane, behind=own))

    def heads(
        self,
        priority: int,
        taken: Sequence[tuple[Lane, int]],
        *,
        delayed: bool = False,
        starts: Mapping[Lane, LaneMark] = NO_MARKS,
    ) -> list[Candidate]:
        """Return the longest-ready jobs of each lane, at most the given number of each; one statement for all lanes.

        Only those that are due, or with ``delayed`` those that wait for their moment; of a lane with a start, from
        there on.
        """
        parts: list[str] = []
        params: list[Any] = []
        for index, (lane, limit) in enumerate(taken):
            rows, row_params = self._sql_of_lane(priority, lane, delayed=delayed, start=starts.get(lane))
            parts.append(
                f"SELECT * FROM (SELECT {index} AS lane, {self.ready_since} AS ready_since, id, attempt "
                f"FROM {self.jobs_table} WHERE {rows} LIMIT %s) AS lane_{index}"
            )
            params += [*row_params, limit]
        if not parts:
            return []
        return [
            Candidate(taken[int(index)][0], _as_number(moment), pk, attempt)
            for index, moment, pk, attempt in self._ask(" UNION ALL ".join(parts), params)
        ]

    # Parts of the walk.

    def _sql_of_lane(
        self, priority: int, lane: Lane, *, delayed: bool, start: LaneMark | None
    ) -> tuple[str, list[Any]]:
        """Return SQL of the jobs of one lane that :meth:`heads` tells, with their order, and its parameters."""
        is_due = "" if delayed else f"AND {self.sql_is_due()} "
        is_behind = "" if start is None else "AND (ready_at, id) >= (%s, %s) "
        sql = (
            f"{self._which(delayed=delayed)} AND job_type_id = %s AND organization_id = %s AND lane_key = %s "
            f"{is_due}{is_behind}ORDER BY ready_at, id"
        )
        key = self.key_to_database(lane.organization_pk)
        return sql, [priority, lane.job_type, key, lane.key, *(start or ())]

    def _which(self, *, delayed: bool) -> str:
        """Return SQL that a row is in a lane, or with ``delayed`` in one of jobs that wait for their moment."""
        return self.in_delayed_lane if delayed else self.in_lane

    def _start(self, walk: Walk) -> tuple[str, list[Any]]:
        if walk.last is not None:
            key = self.key_to_database(walk.last.organization_pk)
            sql = "AND (organization_id > %s OR (organization_id = %s AND lane_key > %s))"
            return sql, [key, key, walk.last.key]
        if walk.behind is not None:
            return "AND organization_id > %s", [self.key_to_database(walk.behind)]
        return "", []

    def _ask(self, sql: str, params: Params) -> list[tuple[Any, ...]]:
        # Never prepared: whether an index or a scan is right for "does anything wait" depends on the priority.
        with self.connection.cursor() as cursor:
            cursor.execute(sql, params)
            return list(cursor.fetchall())

    # Counting what waits of some job types, by the index of the lanes and up to a bound.

    def count_waiting(self, groups: Sequence[Collection[str]], most: int, *, delayed: bool = False) -> list[int]:
        """Return how many jobs of each group of job types are in lanes, counted up to ``most``; one statement.

        With ``delayed``, how many wait for their moment; a store may count those in lanes as well.
        """
        parts: list[str] = []
        params: list[Any] = []
        for group in filter(None, groups):
            sql, own = self._sql_of_some(list(group), most, delayed=delayed)
            parts.append(f"(SELECT COUNT(*) FROM ({sql} LIMIT %s) counted)")
            params += [*own, most]
        counts = iter(self._ask(f"SELECT {', '.join(parts)}", params)[0] if parts else ())
        return [next(counts) if group else 0 for group in groups]

    def _sql_of_some(self, job_types: list[str], most: int, *, delayed: bool) -> tuple[str, list[Any]]:
        """Return SQL of jobs of these types, of each priority up to ``most``, and its parameters."""
        places = ", ".join(["%s"] * len(job_types))
        own = f"{self._which(delayed=delayed)} AND job_type_id IN ({places})"
        part = f"SELECT id FROM (SELECT id FROM {self.jobs_table} WHERE {own} LIMIT %s) found"
        params = [value for priority in Priority for value in (int(priority), *job_types, most)]
        return " UNION ALL ".join([part] * len(Priority)), params

    # Jobs that wait for their moment, by an index that holds only these, the earliest first.

    #: SQL that a row waits for its moment, and the moment by which the index has it.
    is_delayed: ClassVar[str] = "is_delayed AND ready_at IS NOT NULL"
    delayed_until: ClassVar[str] = "ready_at"
    #: What is read of a delayed job; the first is its key.
    delayed_columns: ClassVar[str] = "id"

    def due_jobs(self, limit: int) -> list[int]:
        """Return the keys of up to ``limit`` delayed jobs whose moment has come, the longest due first."""
        found = self._ask(
            f"SELECT {self.delayed_columns} FROM {self.jobs_table} WHERE {self.is_delayed} AND {self._sql_has_come()} "
            f"ORDER BY {self.delayed_until} LIMIT {limit}",
            [],
        )
        return [row[0] for row in found]

    def end_delays(self, pks: Sequence[int]) -> int:
        """Put those of these jobs that are still due into the lanes, inside the open transaction; how many."""
        # Found by their keys and judged afterwards: with more conditions the index of all that is due may be walked.
        rows = Job.primary.filter(pk__in=pks).extra(select={"has_come": self.sql_is_due()})  # noqa: S610
        found = self.locked(rows, skip=True).values_list("pk", "head_start", "is_delayed", "has_come")
        free = [(pk, head_start) for pk, head_start, is_delayed, has_come in found if is_delayed and has_come]
        ahead = [pk for pk, head_start in free if head_start]
        if ahead:
            Job.primary.filter(pk__in=ahead).update(ready_at=place_in_lane(F("ready_at")), is_delayed=False)
        plain = [pk for pk, head_start in free if not head_start]
        return len(ahead) + (Job.primary.filter(pk__in=plain).update(is_delayed=False) if plain or not ahead else 0)

    def _sql_has_come(self) -> str:
        return self.sql_is_due().replace("ready_at", self.delayed_until)

    # Finding the jobs that were not started in time, by an index that holds only waiting jobs with such a moment.

    def overdue_jobs(self, limit: int) -> list[int]:
        """Return the primary keys of up to ``limit`` waiting jobs whose ``expires_at`` has come."""
        return list(self.overdue_rows().values_list("pk", flat=True)[:limit])

    def overdue_rows(self) -> QuerySet[Job]:
        """Return the waiting jobs whose ``expires_at`` has come, the earliest first where there may be an order."""
        rows = Job.primary.extra(where=[_WAITS])  # noqa: S610  (no value is in it)
        return rows.filter(expires_at__isnull=False, expires_at__lte=self.now()).order_by("expires_at")

    # Counting what is in flight: the jobs that have a ticket at the broker, or that a worker has.

    #: SQL that a job is in flight. Literal statuses leave the planner one way, so that its plan may be kept.
    in_flight: ClassVar[str] = f"status IN ({', '.join(repr(str(status)) for status in sorted(IN_FLIGHT))})"

    def count_in_flight(self, mark: InFlightMark | None = None) -> list[InFlightCount]:
        """Count what is in flight, over the index that holds nothing else; from a mark on where there is one."""
        rows, params = self._in_flight_rows(mark)
        keys = "organization_id, priority, job_type_id, lane_key"
        found = self._ask(
            f"SELECT SUM(CASE WHEN status = '{Status.QUEUED}' THEN 1 ELSE 0 END), COUNT(*), {keys} "
            f"FROM {rows} GROUP BY {keys}",
            params,
        )
        return [
            InFlightCount(Lane(self.key_from_database(organization), job_type, key), priority, int(queued), total)
            for queued, total, organization, priority, job_type, key in found
        ]

    def queued_jobs(self, job_types: Collection[str], mark: InFlightMark | None = None) -> list[InFlightJob]:
        """Return the jobs of these types that are queued, over the same index."""
        rows, params = self._in_flight_rows(mark)
        found = self._ask(
            f"SELECT job_type_id, organization_id, lane_key, id, attempt FROM {rows} AND status = '{Status.QUEUED}' "
            f"AND job_type_id IN ({', '.join(['%s'] * len(job_types))})",
            [*params, *job_types],
        )
        return [
            InFlightJob(Lane(self.key_from_database(organization), job_type, key), pk, attempt)
            for job_type, organization, key, pk, attempt in found
        ]

    def mark_in_flight(self, mark: InFlightMark | None = None) -> InFlightMark | None:
        """Return a newer mark, found by means of an older one or over the whole index; None where none is needed."""
        return None

    def from_mark(self, rows: QuerySet[Job, T], mark: InFlightMark) -> QuerySet[Job, T]:
        """Return the same rows, which are of jobs in flight, in such a way that they are found from the mark on."""
        return rows

    def _in_flight_rows(self, mark: InFlightMark | None) -> tuple[str, list[Any]]:
        """Return what stands for the rows of the jobs in flight in a FROM, and its parameters."""
        return f"{self.jobs_table} WHERE {self.in_flight}", []


def _as_number(value: Any) -> float:
    """Return the number that a vendor's SQL gave, or that of a time."""
    number: float = as_moment(value).timestamp() if isinstance(value, str | dt.datetime) else value
    return number
