"""MariaDB: hints for its planner, a bound on silence that it keeps for the session, and rows that serve as locks."""

from __future__ import annotations

import contextlib
import datetime as dt
import math
import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, Final, TypeVar

from django.db import DatabaseError, Error, transaction
from django.db.models import QuerySet

from django_jobs.engine import timing
from django_jobs.engine.store.base_core import PROBES, SILENCE, socket_of
from django_jobs.engine.store.base_jobs import Store
from django_jobs.models import DuplicateGate, DuplicateKey, Job
from django_jobs.models.job import GATES
from django_jobs.statuses import DISPATCHABLE

T = TypeVar("T")

#: Levels in which each statement sees what was committed before it.
_FRESH: Final = frozenset({"READ-COMMITTED", "READ-UNCOMMITTED"})
#: Where a connection remembers the limit of silence that it had before ours.
_HOSTS_LIMIT: Final = "django_jobs_idle_transaction_timeout"
#: Where a worker's connection remembers which one of the server's it is, and its socket.
_THREAD_ID: Final = "django_jobs_thread_id"
_LINE: Final = "django_jobs_line"
#: How long the driver waits for a connection, an answer and to be heard.
_TIMEOUTS: Final = ("connect_timeout", "read_timeout", "write_timeout")
_UNDER_WAY: Final = "SELECT query_id FROM information_schema.processlist WHERE id = %s AND command <> 'Sleep'"
_JOB_TABLE: Final = "`django_jobs_job`"
_BY_ID: Final = f"WHERE {_JOB_TABLE}.`id` IN ("


class MariaDBStore(Store):
    """MariaDB 10.6 or later. MySQL would get it too, but a system check refuses that."""

    #: There are no partial indexes: generated columns, which are NULL while a job is not ready, lead the indexes.
    in_lane: ClassVar[str] = "due_priority = %s"
    in_delayed_lane: ClassVar[str] = "ready_priority = %s"
    is_delayed: ClassVar[str] = "delayed_until IS NOT NULL"
    delayed_until: ClassVar[str] = "delayed_until"
    ready_since: ClassVar[str] = "UNIX_TIMESTAMP(ready_at)"

    def sql_now(self) -> str:
        return "UTC_TIMESTAMP(6)"

    def in_transaction(self, function: Callable[[], T], silence: float = math.inf) -> T:
        with self.connection.execute_wrapper(_by_primary_key):
            return super().in_transaction(function, silence)

    @contextlib.contextmanager
    def transaction(self, silence: int) -> Iterator[None]:
        # The session's limit, since there is none of one transaction; and then what the host has there.
        name, connection = "SESSION idle_transaction_timeout", self.connection
        with connection.cursor() as cursor:
            raw = connection.connection
            if not hasattr(raw, _HOSTS_LIMIT):
                cursor.execute("SELECT @@SESSION.idle_transaction_timeout")
                setattr(raw, _HOSTS_LIMIT, cursor.fetchone()[0])
            cursor.execute(f"SET {name} = {silence}")
        try:
            with transaction.atomic(using=self.alias):
                yield
        finally:
            # On another connection, or none, there is nothing to take back.
            if connection.connection is raw:
                with contextlib.suppress(Error), connection.cursor() as cursor:
                    cursor.execute(f"SET {name} = {getattr(raw, _HOSTS_LIMIT)}")

    def waiting_jobs(self) -> QuerySet[Job]:
        # By the index on the status: the one of the lanes is led by a column that models do not know.
        return super().waiting_jobs().filter(status__in=sorted(DISPATCHABLE))

    def blocked_jobs(self) -> QuerySet[Job]:
        # By the index on the status, which has another order.
        return super().blocked_jobs().order_by()

    def after_migrate(self) -> None:
        """Make the rows by which equal work locks itself; also when somebody emptied their table."""
        gates = [DuplicateGate(pk=number) for number in range(GATES)]
        DuplicateGate.objects.using(self.alias).bulk_create(gates, ignore_conflicts=True)

    def lock_keys(self, keys: Iterable[str]) -> None:
        """Lock the same of a thousand fixed rows: ``ON DUPLICATE KEY`` deadlocks when the winner rolls back."""
        wanted = {int(key[:8], 16) % GATES for key in keys}
        rows = DuplicateGate.primary.filter(pk__in=wanted)
        if len(self.locked(rows)) < len(wanted):
            self.after_migrate()
            list(self.locked(rows.all()))

    def _dead(self, keys: QuerySet[DuplicateKey], now: dt.datetime) -> QuerySet[DuplicateKey]:
        # Who has locked them knows that all are. Asking for the status of their jobs would lock those, too.
        return keys

    def overdue_rows(self) -> QuerySet[Job]:
        # There is no partial index: a generated column, NULL unless the job waits, takes its place.
        return Job.primary.order_by().extra(where=[f"expiring_at <= {self.sql_now()}"])  # noqa: S610

    def worker_options(self) -> dict[str, Any]:
        # No limit of reading: it would be one for the statements of handlers, too.
        return {"connect_timeout": timing.DATABASE_CONNECT_SECONDS}

    def prepare_for_worker(self, connection: Any) -> None:
        # While a statement is under way, the driver tells no other thread.
        raw = connection.connection
        setattr(raw, _THREAD_ID, raw.thread_id())
        setattr(raw, _LINE, raw.fileno())
        # The driver has no option for these. A line through a Unix socket has none of them, nor has every system all.
        with contextlib.suppress(OSError, AttributeError), socket_of(raw.fileno()) as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, timing.KEEPALIVE_IDLE_SECONDS)
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, timing.KEEPALIVE_PROBE_SECONDS)
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES)
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * SILENCE)

    def line_of(self, connection: Any) -> int | None:
        raw, number = connection.connection, getattr(connection.connection, _LINE, None)
        if raw is not None and number is None:
            with contextlib.suppress(connection.Database.Error):  # a statement is under way
                return int(raw.fileno())
        return number

    @contextlib.contextmanager
    def limited(self, seconds: float) -> Iterator[None]:
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT @@SESSION.max_statement_time")
            hosts = cursor.fetchone()[0]
            cursor.execute("SET SESSION max_statement_time = %s", [max(0.001, seconds)])  # 0 is no limit
            try:
                yield
            finally:
                cursor.execute("SET SESSION max_statement_time = %s", [hosts])

    def end_statement(self, connection: Any, is_wanted: Callable[[], bool] = lambda: True) -> None:
        number = getattr(connection.connection, _THREAD_ID, None)
        if number is None:
            return
        with contextlib.closing(connection.copy()) as other:
            seconds = math.ceil(timing.STATEMENT_END_SECONDS)
            other.settings_dict["OPTIONS"] |= dict.fromkeys(_TIMEOUTS, seconds)
            with other.cursor() as cursor:
                cursor.execute("SELECT CONNECTION_ID()")
                # A proxy has ids of its own: there nobody can tell which statement it is.
                if cursor.fetchone()[0] != other.connection.thread_id():
                    return
                cursor.execute(_UNDER_WAY, [number])
                for (query,) in cursor.fetchall():
                    if is_wanted():
                        cursor.execute(f"KILL QUERY ID {query:d}")

    def hides_changes(self) -> bool:
        """REPEATABLE READ does, unless ``innodb_snapshot_isolation`` is on, the default from 11.6.2 on.

        A transaction that has read before then replaces the key of a duplicate that was committed meanwhile, and both
        jobs are accepted. With the variable on, such a transaction ends with error 1020, and ours are tried again.
        """
        return not self._reads_anew() and not self._refuses_stale_writes()

    def has_old_view(self) -> bool:
        """The level is the connection's: the server does not tell of one that was set for this transaction alone."""
        return self.connection.in_atomic_block and not self._reads_anew()

    def _reads_anew(self) -> bool:
        """Return whether each statement sees all that is committed, by the isolation level of this connection."""
        return self.fetch("SELECT @@tx_isolation", [])[0][0] in _FRESH

    def _refuses_stale_writes(self) -> bool:
        try:
            with transaction.atomic(using=self.alias), self.connection.cursor() as cursor:
                cursor.execute("SELECT @@innodb_snapshot_isolation")
                return bool(cursor.fetchone()[0])
        except DatabaseError:  # an older server, which does not know it
            return False


def _by_primary_key(execute: Callable[..., Any], sql: str, *args: Any) -> Any:
    """Make MariaDB find a set of jobs by primary key. For a long list it would rather scan the table, and then waits
    for, and deadlocks over, rows that are none of the set's.
    """
    if _BY_ID in sql and sql.startswith(f"UPDATE {_JOB_TABLE} SET"):
        sql = sql.replace(_JOB_TABLE, f"{_JOB_TABLE} FORCE INDEX (PRIMARY)", 1)
    elif _BY_ID in sql and "FOR UPDATE" in sql:
        sql = sql.replace(f"FROM {_JOB_TABLE}", f"FROM {_JOB_TABLE} FORCE INDEX (PRIMARY)", 1)
    return execute(sql, *args)
