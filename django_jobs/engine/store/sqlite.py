"""The walk over the lanes in one statement, for databases whose recursive queries may look at the table again."""

from __future__ import annotations

import contextlib
import datetime as dt
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

from django.db.models import QuerySet

from django_jobs.engine.store.base import Store
from django_jobs.engine.store.base.backlog import LANE_ORDER, NO_MARKS
from django_jobs.engine.store.values import ALL_TYPES, Horizon, Lane, LaneBound, LaneMark, LaneStep, Walk
from django_jobs.models import DuplicateKey, ExecutionLog

#: So many types are walked in one statement, which has a part for each.
TYPES_AT_ONCE: Final = 20


class LaneWalk(Store):
    """Hops from lane to lane by the index, as base does, but inside the database."""

    def waiting_types(
        self, priorities: Sequence[int], *, delayed: bool = False, marked: Collection[tuple[int, str]] = ()
    ) -> list[tuple[int, str]]:
        first = f"SELECT job_type_id FROM {self.jobs_table} WHERE {self._which(delayed=delayed)}"
        parts, params = [], []
        following = f"SELECT ({first} AND job_type_id > kinds.t {LANE_ORDER} LIMIT 1) FROM kinds WHERE t IS NOT NULL"
        for priority in priorities:
            parts.append(
                f"SELECT {int(priority)} AS p, t FROM (WITH RECURSIVE kinds(t) AS ("
                f"SELECT * FROM ({first} {LANE_ORDER} LIMIT 1) AS start_kind UNION ALL {following}) "
                f"SELECT t FROM kinds WHERE t IS NOT NULL) AS of_{int(priority)}"
            )
            params += [priority, priority]
        return [(priority, job_type) for priority, job_type in self._ask(" UNION ALL ".join(parts), params)]

    def lanes(self, walk: Walk, count: int, marks: Mapping[Lane, LaneMark] = NO_MARKS) -> list[LaneStep]:
        if len(walk.job_types) > TYPES_AT_ONCE:  # in parts there would be no common order
            return super().lanes(walk, count, marks)
        parts, params = [], []
        for number, job_type in enumerate(walk.job_types):
            sql, own = self._lanes_in_sql(job_type, walk, count)
            parts.append(f"SELECT * FROM ({sql}) AS of_{number}")
            params += own
        is_behind, after_params = self.sql_is_behind("o", walk.after)
        rows = self._ask(
            f"SELECT o, t, k, due, {is_behind} FROM ({' UNION ALL '.join(parts)}) AS steps ORDER BY o, t, k",
            [*after_params, *params],
        )
        return self._steps(rows)

    def _lanes_in_sql(self, job_type: str, walk: Walk, count: int) -> tuple[str, list[Any]]:
        """Return SQL for the lanes of one type, and its parameters."""
        first = f"FROM {self.jobs_table} WHERE {self._which(delayed=walk.delayed)} AND job_type_id = %s"
        of_type = [walk.priority, job_type]
        start, start_params = self._start(walk)
        counted = _Counted(self, job_type, walk.bound)
        passed, passed_params = counted.is_passed()
        parts, params = [], []
        for column in ("organization_id", "lane_key", self.sql_is_due()):
            lane = f"(SELECT {column} {first} AND (organization_id, lane_key) > (walk.o, walk.k) {LANE_ORDER} LIMIT 1)"
            further = f"(SELECT {column} {first} AND organization_id > walk.o {LANE_ORDER} LIMIT 1)"
            parts.append(f"CASE WHEN {passed} THEN {further} ELSE {lane} END")
            params += [*passed_params, *of_type, *of_type]
        nth, nth_params = counted.of_organization()
        total, total_params = counted.of_type()
        start_columns = (
            f"organization_id, lane_key, {self.sql_is_due()} AS due, organization_id AS before, 0 AS n, 0 AS m"
        )
        sql = (
            f"WITH RECURSIVE walk(o, k, due, before, n, m) AS ("
            f"SELECT * FROM (SELECT {start_columns} {first} {start} {LANE_ORDER} LIMIT 1) AS start_lane UNION ALL "
            f"SELECT {', '.join(parts)}, walk.o, {nth}, {total} "
            f"FROM walk WHERE walk.o IS NOT NULL AND {total} < {int(count)}) "
            "SELECT o, %s AS t, k, due FROM walk WHERE o IS NOT NULL"
        )
        closing = [*nth_params, *total_params, *total_params, job_type]
        return sql, [*of_type, *start_params, *params, *closing]

    def _start(self, walk: Walk) -> tuple[str, list[Any]]:
        if walk.last is None:
            return super()._start(walk)
        return "AND (organization_id, lane_key) > (%s, %s)", [
            self.key_to_database(walk.last.organization_pk),
            walk.last.key,
        ]


class _Counted:
    """SQL that counts lanes up to the one at which the walk is; see :class:`LaneBound`.

    ``before`` is the organization of the lane before that one, and ``n`` and ``m`` the counts up to there.
    """

    def __init__(self, store: Store, job_type: str, bound: LaneBound) -> None:
        self._most = bound.most
        self._full = [
            (store.key_to_database(lane.organization_pk), lane.key) for lane in bound.full if lane.job_type == job_type
        ]
        self._passed = [store.key_to_database(pk) for pk, of in bound.passed if of in {job_type, ALL_TYPES}]

    def _is_closed(self) -> tuple[str, list[Any]]:
        rows = ", ".join(["(%s, %s)"] * len(self._full))
        # As a list that is looked up: SQLite refuses a thousand conditions, and takes long for hundreds.
        full = [f"(walk.o, walk.k) IN (VALUES {rows})"] if self._full else []
        params = [value for pair in self._full for value in pair] + self._passed
        return " OR ".join([*full, *self._passed_terms()]) or "1 = 0", params

    def _passed_terms(self) -> list[str]:
        return [f"walk.o IN ({', '.join(['%s'] * len(self._passed))})"] if self._passed else []

    def of_organization(self) -> tuple[str, list[Any]]:
        """Return the count of the organization's lanes that have something due."""
        closed, params = self._is_closed()
        counts = f"CASE WHEN walk.due AND NOT ({closed}) THEN 1 ELSE 0 END"
        return f"(CASE WHEN walk.before = walk.o THEN walk.n ELSE 0 END + {counts})", params

    def of_type(self) -> tuple[str, list[Any]]:
        """Return the count of the type's lanes."""
        closed, params = self._is_closed()
        return f"(walk.m + CASE WHEN {closed} THEN 0 ELSE 1 END)", params

    def is_passed(self) -> tuple[str, list[Any]]:
        """Return whether the other lanes of the organization are hopped over."""
        nth, params = self.of_organization()
        return f"({' OR '.join([f'{nth} >= {int(self._most)}', *self._passed_terms()])})", [*params, *self._passed]


# SQLite: one writer at a time, and this process's own clock.


#: The clock of a limited statement is read after so many steps of SQLite's machine, a fraction of a millisecond.
STEPS: Final = 1_000


class SQLiteStore(LaneWalk):
    """SQLite, for development and small sites."""

    #: What finds due jobs counts in milliseconds.
    clock_step: ClassVar[dt.timedelta] = dt.timedelta(milliseconds=1)
    ready_since: ClassVar[str] = "julianday(ready_at)"
    has_one_writer: ClassVar[bool] = True

    @contextlib.contextmanager
    def transaction(self, silence: int) -> Iterator[None]:
        with self.while_writing(), super().transaction(silence):
            yield

    def refuse_broken_references(self) -> None:
        """Leave it to the commit: to check, SQLite would read every table."""

    def clock(self, field: Any) -> tuple[str, list[Any]]:
        return "%s", [field.get_db_prep_save(self.now(), self.connection)]

    def now(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC)

    def sql_is_due(self) -> str:
        # To the end of the millisecond.
        return "ready_at <= strftime('%%Y-%%m-%%d %%H:%%M:%%f999', 'now')"

    def _dead(self, keys: QuerySet[DuplicateKey], now: dt.datetime) -> QuerySet[DuplicateKey]:
        # Nobody else has written since the caller looked, and found that all of them are dead.
        return keys

    @contextlib.contextmanager
    def limited(self, seconds: float) -> Iterator[None]:
        self.connection.ensure_connection()
        raw, until = self.connection.connection, time.monotonic() + seconds
        raw.set_progress_handler(lambda: time.monotonic() > until, STEPS)
        try:
            yield
        finally:
            raw.set_progress_handler(None, 0)

    def end_statement(self, connection: Any, is_wanted: Callable[[], bool] = lambda: True) -> None:
        if connection.connection is not None:
            connection.connection.interrupt()

    def hang_up(self, connection: Any) -> None:
        raw = connection.connection
        if raw is None:
            return
        raw.interrupt()
        with contextlib.suppress(sqlite3.Error):
            raw.rollback()  # it would outlast the end of a connection of which somebody still reads rows
            if not connection.is_in_memory_db():
                raw.close()

    # There is one writer, so rows of the log become visible in the order of their ids.

    def log_horizon(self) -> Horizon:
        return Horizon(next_id=0, oldest_open=0)

    def events_behind(self, organization_pk: Any, since: int) -> QuerySet[ExecutionLog]:
        return self.log_of(organization_pk).filter(id__gt=since)

    def marks_kept(self, organization_pk: Any) -> int:
        return 1
