"""What is read and added up on PostgreSQL."""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from django.core.exceptions import EmptyResultSet
from django.db.models import BigIntegerField, CharField, F, Func, Q, QuerySet
from django.db.models.functions import Greatest

from django_jobs.engine.store.base_backlog import LANE_ORDER
from django_jobs.engine.store.base_jobs import COUNTS
from django_jobs.engine.store.postgresql_core import PostgreSQLCore, array
from django_jobs.engine.store.values import CLASSES_PER_DECADE, COUNTED_AS, LEAST, MOST, Horizon, Tally, TallyKey
from django_jobs.models import Batch, BatchChange, ExecutionLog, Installation, Job, JobDependency, Span
from django_jobs.statuses import FAILED_FOR_GOOD, Priority, Status

_BOUND: Final = re.compile(r"(LIMIT|OFFSET) (\d+)(?=(?: OFFSET \d+)?\Z)")
#: No transaction whose rows the statement sees has this id yet, but for one of another server.
_NEXT: Final = Func(
    template="GREATEST(pg_snapshot_xmax(pg_current_snapshot())::text::bigint,"
    " pg_current_xact_id_if_assigned()::text::bigint + 1)",
    output_field=BigIntegerField(),
)
_SERVER: Final = Func(
    template="(SELECT system_identifier::text || '/' || tableoid FROM pg_control_system())",
    output_field=CharField(max_length=40),
)
#: Among so many of the newest rows those of another server are looked for, once.
_SEARCHED: Final = 1_000_000
#: The next transaction of this server, and the oldest that is open, but for those that are known to be of another
#: database and for one's own, which comes last.
_OPEN: Final = """
SELECT pg_snapshot_xmax(s)::text::bigint, (
    SELECT min(x::text::bigint) FROM pg_snapshot_xip(s) x WHERE x::xid NOT IN (
        SELECT l.transactionid FROM pg_locks l JOIN pg_stat_activity a USING (pid)
        WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND a.datname <> current_database()
        UNION ALL SELECT transaction FROM pg_prepared_xacts WHERE database <> current_database()
    )
), pg_current_xact_id_if_assigned()::text::bigint
FROM pg_current_snapshot() s
"""
_ADD_UP = f"""
    WITH gone AS (
        DELETE FROM "{BatchChange._meta.db_table}" WHERE batch_id = ANY(%s::bigint[]) RETURNING *
    ), sums AS (
        SELECT batch_id, min(started_at) AS started_at, {", ".join(f"sum({name}) AS {name}" for name in COUNTS)}
        FROM gone GROUP BY batch_id
    )
    UPDATE "{Batch._meta.db_table}" b SET
        {", ".join(f"{name} = b.{name} + s.{name}" for name in COUNTS)},
        started_at = least(b.started_at, s.started_at), counted_at = %s
    FROM sums s WHERE b.id = s.batch_id RETURNING b.*
"""


class PostgreSQLReads(PostgreSQLCore):
    """What is read and added up."""

    # Rows in the order of an index, also where nothing is known of the tables' sizes.
    # They hide limit and offset from the planner. Without statistics it takes a table's parts for smaller than these.
    # It then reads all rows of the part, and sorts them, instead of walking the index that has them in order. For a
    # bound that it cannot know, it walks.

    def sql_in_order(self, rows: QuerySet[Any, Any]) -> tuple[str, tuple[Any, ...]]:
        sql, params = super().sql_in_order(rows)
        return _BOUND.sub(r"\1 (SELECT \2)", sql), params

    def read_in_order(self, rows: QuerySet[Any, Any]) -> list[tuple[Any, ...]]:
        try:
            sql, params = self.sql_in_order(rows)
        except EmptyResultSet:
            return []
        with self.connection.cursor() as cursor:
            cursor.execute(sql, params)
            return list(cursor.fetchall())

    def read_behind(self, rows: QuerySet[Any, Any], offset: int) -> list[tuple[Any, ...]]:
        try:
            sql, params = rows.query.sql_with_params()
        except EmptyResultSet:
            return []
        known = f"OFFSET {offset}"
        if sql.count(known) != 1:  # no offset at all, if it is 0
            return list(rows)
        with self.connection.cursor() as cursor:
            cursor.execute(sql.replace(known, f"OFFSET (SELECT {offset})"), params)
            return list(cursor.fetchall())

    # The same with the planner left no other way than the index of a type's jobs.
    #
    # Where it takes a type for frequent, it would rather follow the primary key, past the jobs of all others, and
    # find none. So a type is never given as equal to a value: then the order by type is no order at all, and any
    # index that is in the order of the keys will do. Given as one of a list, or by bounds, it has to be in the
    # order, and one index is in it.

    def of_type(self, job_type: str, behind: Any = None) -> QuerySet[Job]:
        where, params = "job_type_id >= %s AND job_type_id <= %s", [job_type] * 2
        if behind is not None:
            where = "(job_type_id, organization_id) > (%s, %s) AND job_type_id <= %s"
            params = [job_type, self.key_to_database(behind), job_type]
        rows = Job.primary.extra(where=[where], params=params)  # noqa: S610  (no value is in it)
        return rows.order_by("job_type_id", "organization_id", "-pk")

    def older_of_type(self, job_type: str, organization_pk: Any, pk: int) -> QuerySet[Job]:
        rows = Job.primary.filter(organization_id=organization_pk, pk__lt=pk).order_by("job_type_id", "-pk")
        return rows.extra(where=["job_type_id = ANY(%s::text[])"], params=[array([job_type])])

    # The same type by type: of several at once the planner may read every job, or walk all lanes of a priority.

    def _sql_of_some(self, job_types: list[str], most: int, *, delayed: bool) -> tuple[str, list[Any]]:
        own = self._which(delayed=delayed).replace("(SELECT %s::smallint)", "urgency.p")
        sql = (
            "SELECT found.id FROM unnest(%s::text[]) AS kinds(t), unnest(%s::smallint[]) AS urgency(p), LATERAL ("
            f"SELECT id FROM {self.jobs_table} WHERE {own} AND job_type_id = kinds.t {LANE_ORDER} LIMIT %s) AS found"
        )
        return sql, [array(job_types), array([int(priority) for priority in Priority]), most]

    # In which order rows of the Execution Log become visible, exactly.
    #
    # Each row has its transaction's id and that of the oldest transaction that was open when it was written:
    # whoever saw the row has seen every transaction older than that one. Each server counts its transactions from
    # its own beginning. So the rows of a dump that was restored on another one are told apart by their ids in the
    # log. A copy of a server's disk has its number, but a table that was restored there is a new one.
    # An organization's marks are ids of transactions.

    def log_horizon(self) -> Horizon:
        self._foreign_id()  # while few rows have come since a dump was restored
        [(next_id, oldest_open, _)] = self.fetch(_OPEN, [])
        return Horizon(next_id=next_id, oldest_open=next_id if oldest_open is None else oldest_open)

    def _foreign_id(self) -> int:
        """Return the id of the last row of the log that another server wrote, 0 without any."""
        rows = Installation.primary.filter(pk=1)
        found = rows.annotate(here=_SERVER).values_list("log_server", "here", "log_foreign_id").first()
        if found is None or found[0] == found[1]:
            return 0 if found is None else found[2]
        newest = super().log_mark(None)
        others = ExecutionLog.primary.filter(id__gt=newest - _SEARCHED, transaction_id__gte=_NEXT)
        last = others.order_by("-id").values_list("id", flat=True).first() or 0
        rows.update(log_server=found[1], log_foreign_id=Greatest(F("log_foreign_id"), last))
        return max(found[2], last)

    def last_event(self, organization_pk: Any) -> int:
        if organization_pk is None:
            return super().last_event(organization_pk)
        rows = self.log_of(organization_pk)
        own = rows.filter(transaction_id__lt=_NEXT, id__gt=self._foreign_id())
        return _newest(own) or _newest(rows)

    def log_of(self, organization_pk: Any) -> QuerySet[ExecutionLog]:
        rows = ExecutionLog.primary.all()
        return rows if organization_pk is None else rows.filter(organization_id=organization_pk)

    def events_behind(self, organization_pk: Any, since: int) -> QuerySet[ExecutionLog]:
        known = ExecutionLog.primary.filter(id__lte=since, oldest_open_id__isnull=False).order_by("-id")
        oldest = known.values_list("oldest_open_id", flat=True).first()
        behind, foreign = Q(transaction_id__gte=oldest or 0), self._foreign_id()
        own = Q(transaction_id__lt=_NEXT, id__gt=foreign)
        return self.log_of(organization_pk).filter(own & behind if since > foreign else own | behind)

    def log_mark(self, organization_pk: Any) -> int:
        """Return the oldest transaction that is open; for everybody's log the last id, as base does."""
        if organization_pk is None:
            return super().log_mark(None)
        return min(int(pk) for pk in self.fetch(_OPEN, [])[0] if pk is not None)

    def events_since(self, organization_pk: Any, marks: Sequence[int]) -> QuerySet[ExecutionLog]:
        if organization_pk is None:
            return super().events_since(None, marks)
        return self.log_of(organization_pk).filter(transaction_id__gte=marks[-1], id__gt=self._foreign_id())

    def marks_kept(self, organization_pk: Any) -> int:
        return super().marks_kept(None) if organization_pk is None else 1

    # Adding up what the Execution Log tells, in one statement: of some ten thousand rows only the sums travel.

    def tally(self, after: int, last: int) -> dict[TallyKey, Tally]:
        tallies: dict[TallyKey, Tally] = defaultdict(Tally)
        with self.connection.cursor() as cursor:
            cursor.execute(_sql(), {"after": after, "last": last})
            rows = [_Row(**dict(zip(_columns(), values, strict=True))) for values in cursor.fetchall()]
        organizations = ExecutionLog._meta.get_field("organization").target_field
        for row in rows:
            place = TallyKey(
                span=int(Span.MINUTE),
                starts_at=row.starts_at.astimezone(dt.UTC),
                job_type=row.job_type,
                organization=organizations.to_python(row.organization),
            )
            _add(tallies[place], row)
        return tallies

    # Batches: locks that those who add jobs share, and adding up in one statement.

    def share_batches(self, pks: Sequence[int]) -> list[Batch]:
        sql = f'SELECT * FROM "{Batch._meta.db_table}" WHERE id = ANY(%s::bigint[]) ORDER BY id FOR KEY SHARE'
        return list(Batch.primary.raw(sql, [array(list(pks))]))

    def add_up_batches(self, pks: Sequence[int], now: dt.datetime) -> list[Batch]:
        return list(Batch.primary.raw(_ADD_UP, [array(list(pks)), now]))


def _newest(rows: QuerySet[ExecutionLog]) -> int:
    """Return the id of the newest of these rows, 0 without any."""
    # Not by both columns at once: that may sort all rows of the organization. A row of another database has none.
    last = rows.filter(transaction_id__isnull=False).order_by("-transaction_id").values("transaction_id")[:1]
    return rows.filter(transaction_id=last).order_by("-id").values_list("id", flat=True).first() or 0


class _Row(NamedTuple):
    """Like events of one minute, type and organization, of one class of the histogram if they are measured."""

    starts_at: dt.datetime
    job_type: str
    organization: Any
    organization_name: str
    counted_as: str | None
    ended_as: str | None
    histogram_key: int | None
    number: int
    seconds: float
    failed: int


def _add(found: Tally, row: _Row) -> None:
    found.organization_name = row.organization_name
    if row.counted_as is not None:
        found.count(row.counted_as, row.number)
    found.count("failed", row.failed)
    measured = ["attempt"] if row.ended_as else ["wait"]
    if row.ended_as:
        found.attempts[row.ended_as] += row.number
    if row.counted_as == "completed":
        measured.append("run")
    for what in measured if row.histogram_key is not None else ():
        found.measure(what, row.seconds, str(row.histogram_key), row.number)


@functools.cache
def _sql() -> str:
    log, job, link = (model._meta.db_table for model in (ExecutionLog, Job, JobDependency))
    cases = " ".join(f"WHEN to_status = '{status}' THEN '{name}'" for status, name in COUNTED_AS.items())
    counted = ", ".join(f"'{status}'" for status in COUNTED_AS)
    is_first_start = f"to_status = '{Status.RUNNING}' AND attempt = 1"
    has_run = f"from_status = '{Status.RUNNING}'"
    is_failed_for_good = "from_status = '{}' AND to_status = '{}'".format(*FAILED_FOR_GOOD)
    # Jobs are looked up by an array of ids: in a join the planner might rather read all jobs. A job that asked to run
    # later has another `run_at` by now, which is not what its first attempt waited for; `greatest` ignores NULL.
    return f"""
        WITH events AS MATERIALIZED (
            SELECT job_id, from_status, to_status, "timestamp", attempt, organization_id FROM "{log}"
            WHERE id > %(after)s AND id <= %(last)s
                AND (from_status = '' OR ((to_status IN ({counted}) OR {has_run}) AND from_status <> to_status))
        ), jobs AS MATERIALIZED (
            SELECT id, job_type_id, organization_name, created_at, run_at, started_at, completed_at,
                attempt AS last_attempt FROM "{job}"
            WHERE id = ANY (ARRAY(SELECT DISTINCT job_id FROM events))
        ), links AS MATERIALIZED (
            SELECT child_id, parent_id FROM "{link}"
            WHERE child_id = ANY (ARRAY(SELECT job_id FROM events WHERE {is_first_start}))
        ), parents AS MATERIALIZED (
            SELECT id, completed_at FROM "{job}" WHERE id = ANY (ARRAY(SELECT DISTINCT parent_id FROM links))
        ), freed AS MATERIALIZED (
            SELECT child_id, max(parents.completed_at) AS freed_at
            FROM links JOIN parents ON parents.id = parent_id GROUP BY child_id
        ), measured AS (
            SELECT date_trunc('minute', "timestamp") AS starts_at, job_type_id, organization_id, organization_name,
                CASE WHEN from_status = '' THEN 'submitted' {cases} END AS counted_as,
                CASE WHEN {has_run} THEN to_status END AS ended_as,
                {is_failed_for_good} AS is_failed_for_good,
                CASE WHEN to_status = '{Status.COMPLETED}'
                    THEN extract(epoch FROM completed_at - coalesce(started_at, completed_at))
                    WHEN {has_run} AND to_status IN ({counted}) AND attempt = last_attempt
                    THEN extract(epoch FROM "timestamp" - started_at)
                    WHEN {is_first_start}
                    THEN extract(epoch FROM "timestamp" - coalesce(greatest(
                        CASE WHEN created_at <= "timestamp" THEN created_at END,
                        CASE WHEN run_at <= "timestamp" THEN run_at END,
                        CASE WHEN freed_at <= "timestamp" THEN freed_at END), "timestamp"))
                END::double precision AS seconds
            FROM events JOIN jobs ON jobs.id = job_id LEFT JOIN freed ON child_id = job_id
        )
        SELECT {", ".join(f"{sql} AS {name}" for name, sql in _columns().items())}
        FROM measured GROUP BY starts_at, job_type_id, organization_id, counted_as, ended_as, histogram_key
    """


def _columns() -> dict[str, str]:
    """Return what is read, by its name in :class:`_Row`."""
    key = (
        f"CASE WHEN seconds <= 0 THEN {LEAST} WHEN seconds IS NOT NULL "
        f"THEN greatest({LEAST}, least({MOST}, round({CLASSES_PER_DECADE} * log(seconds))::integer)) END"
    )
    return {
        "starts_at": "starts_at",
        "job_type": "job_type_id",
        "organization": "organization_id",
        "organization_name": "max(organization_name)",
        "counted_as": "counted_as",
        "ended_as": "ended_as",
        "histogram_key": key,
        "number": "count(*)",
        "seconds": "sum(greatest(seconds, 0))",
        "failed": "count(*) FILTER (WHERE is_failed_for_good)",
    }
