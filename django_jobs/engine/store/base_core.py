"""What the other needs of a store build on: connection, clock, locks, transactions, and what is read and added up."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import math
import os
import random
import socket
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, TypeAlias, TypeVar

from django.db import InterfaceError, InternalError, OperationalError, connections, transaction
from django.db.models import F, Max, Model, Q, QuerySet
from django.db.models.functions import Now
from django.db.models.sql import Query

from django_jobs.conf import jobs_settings
from django_jobs.engine import timing
from django_jobs.engine.store.values import COUNTED_AS, Horizon, Tally, TallyKey, class_of, parts_of, start_of
from django_jobs.models import ExecutionLog, Job, JobDependency, Span
from django_jobs.statuses import FAILED_FOR_GOOD, Status

M = TypeVar("M", bound=Model)
Rows = TypeVar("Rows", bound=QuerySet[Any])
T = TypeVar("T")
#: Of a statement: in the order of its ``%s``, or by the names in its ``%(name)s``.
Params: TypeAlias = Sequence[Any] | Mapping[str, Any]
MAX_TRIES: Final = 8
#: After so many probes without an answer, each so many seconds after the one before, the other end counts as gone.
PROBES: Final = 3
#: It has been silent for so many seconds by then.
SILENCE: Final = timing.KEEPALIVE_IDLE_SECONDS + PROBES * timing.KEEPALIVE_PROBE_SECONDS
#: How many polls make up this time.
OPEN_POLLS: Final = 4
#: A row of the same status twice tells that something else was changed.
_COUNTED: Final = Q(from_status="") | (
    (Q(to_status__in=sorted(COUNTED_AS)) | Q(from_status=Status.RUNNING)) & ~Q(from_status=F("to_status"))
)
_READ_OF_EVENTS: Final = ("job_id", "from_status", "to_status", "timestamp", "attempt", "organization_id")
_READ_OF_JOBS: Final = (
    *("job_type_id", "organization_name", "attempt"),
    *("created_at", "run_at", "started_at", "completed_at"),
)


class StoreCore:
    """One database, by its alias. An instance serves all threads; each thread has a connection of its own."""

    # Of every database that we know: a driver's codes are the same in every language, and none has two meanings.

    #: A deadlock, a refusal to serialize, a lock's timeout: states of PostgreSQL, numbers of MariaDB and MySQL.
    lost_races: ClassVar[frozenset[str | int]] = frozenset({"40P01", "40001", "55P03", 1205, 1213, 1020})
    #: SQLite gives one code for every table and database that is locked, and only in newer Pythons.
    lost_race_text: ClassVar[str] = "database is locked"
    #: PostgreSQL heard nothing of the transaction for too long; it takes no writes (any more), as after a switch-over.
    fatal: ClassVar[frozenset[str | int]] = frozenset({"25P03", "25006"})
    #: The host's limit for one statement was reached, or it was canceled, on PostgreSQL, MariaDB and MySQL.
    too_slow: ClassVar[frozenset[str | int]] = frozenset({"57014", 1317, 1969, 3024})
    #: MariaDB's answer to a statement that is larger than it takes; it hangs up then, and would do so again.
    too_large_text: ClassVar[str] = "max_allowed_packet"

    #: Whether it can wait for a lock for a fraction of a second, behind those who came before.
    waits_in_line: ClassVar[bool] = False
    #: Whether an open transaction keeps all others from writing, and no server ends it.
    has_one_writer: ClassVar[bool] = False

    def __init__(self, alias: str) -> None:
        self.alias = alias
        #: Entered for as long as a transaction of the engine is open, where the database has one writer.
        self.while_writing: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext

    @property
    def connection(self) -> Any:
        """This thread's connection."""
        return connections[self.alias]

    # Statements and the clock.

    def fetch(self, sql: str, params: Params, *, rows: int = 1, newest: int = 0) -> list[tuple[Any, ...]]:
        """Return the rows that one of the engine's own frequent statements gives.

        ``rows`` is how many jobs it is about, and ``newest`` a primary key near the table's end: hints for its plan.
        """
        with self.connection.cursor() as cursor:
            cursor.execute(sql, params)
            return list(cursor.fetchall())

    def sql_now(self) -> str:
        """Return SQL for the moment of a statement."""
        return str(Query(Job).get_compiler(self.alias).compile(Moment())[0])

    def now(self) -> dt.datetime:
        """Return the database's time, aware, in UTC."""
        moment: dt.datetime = as_moment(self.fetch(f"SELECT {self.sql_now()}", [])[0][0])
        return moment

    # Locks and transactions.

    def locked(self, queryset: Rows, *, skip: bool = False, excludes_all: bool = False) -> Rows:
        """Return the rows, to be locked in ascending primary key: so sets of them do not deadlock.

        With ``skip``, rows that somebody else holds are left out. With ``excludes_all``, those who only keep a row from
        being deleted wait, too. A database that cannot lock rows locks itself.
        """
        features = self.connection.features
        queryset = queryset.order_by("pk")
        if not features.has_select_for_update:
            return queryset
        return queryset.select_for_update(
            skip_locked=skip and features.has_select_for_update_skip_locked,
            no_key=features.has_select_for_no_key_update and not excludes_all,
        )

    def first_locked(self, queryset: QuerySet[M], seconds: float) -> M | None:
        """Return the first of these rows, locked; None if there is none, or others hold it for so many seconds.

        Only a database that :attr:`waits_in_line` waits.
        """
        return self.locked(queryset, skip=True).first()

    @contextlib.contextmanager
    def following_keys(self) -> Iterator[None]:
        """Have what is read in the block, in the order of an index and up to a limit, read by that index."""
        yield

    def in_transaction(self, function: Callable[[], T], silence: float = math.inf) -> T:
        """Run ``function`` in a transaction; again when it lost a race. Inside a caller's transaction: once.

        Where it can, the server ends a transaction of ours of which it hears nothing for half of LEASE_SECONDS, or for
        ``silence`` seconds where that is less.
        A process that is frozen in its midst, or whose interpreter a handler holds, would else hold its rows for as
        long as that lasts: nobody could rescue its jobs, nor renew their leases in time where the process lives.
        """
        if self.connection.in_atomic_block:
            with transaction.atomic(using=self.alias):
                return function()

        def run() -> T:
            with self.transaction(max(1, int(min(silence, float(jobs_settings.LEASE_SECONDS) / 2)))):
                return function()

        return self.retried(run)

    @contextlib.contextmanager
    def transaction(self, silence: int) -> Iterator[None]:
        """Open a transaction that should not outlast so many seconds in which the server hears nothing of it."""
        with transaction.atomic(using=self.alias):
            yield

    def retried(self, function: Callable[[], T]) -> T:
        """Run what is one statement or one transaction; again when it lost a race. In a caller's transaction: once."""
        if self.connection.in_atomic_block:
            return function()
        for attempt in range(1, MAX_TRIES + 1):
            try:
                return function()
            except OperationalError as error:
                if attempt == MAX_TRIES or not self.is_lost_race(error):
                    raise
                time.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311  (spreads rivals)
        raise AssertionError("unreachable")

    def refuse_broken_references(self) -> None:
        """Raise IntegrityError now where a row refers to one that is gone, also in the midst of a caller's transaction.

        A database that checks references late would else refuse only its commit, with all that it did.
        """
        connection = self.connection
        if connection.features.can_defer_constraint_checks and connection.savepoint_ids:
            connection.check_constraints()

    def has_old_view(self) -> bool:
        """Return whether the open transaction may not see what others have committed since it first read."""
        return False

    def hides_changes(self) -> bool:
        """Return whether the isolation level lets a transaction overwrite, without an error, what it cannot see."""
        return False

    # Kinds of errors.

    def is_lost_connection(self, error: BaseException) -> bool:
        """Return whether the database went away, so that the same call may succeed later."""
        if isinstance(error, InternalError):
            return code_of(error) in self.fatal
        if isinstance(error, OperationalError):
            return not self.is_lost_race(error) and self.too_large_text not in str(error)
        return isinstance(error, InterfaceError)

    def is_lost_race(self, error: BaseException) -> bool:
        """Return whether another transaction was in the way, so that a new try is right."""
        if not isinstance(error, OperationalError):
            return False
        return code_of(error) in self.lost_races or self.lost_race_text in str(error)

    def was_too_slow(self, error: BaseException) -> bool:
        """Return whether the database ended a statement that took too long: only this call has to wait."""
        return code_of(error) in self.too_slow

    # An organization's primary key, as models have it and as this database does.

    def key_to_database(self, pk: Any) -> Any:
        """Return an organization's primary key as a parameter of a statement."""
        return _organization().output_field.get_db_prep_value(pk, self.connection)

    def key_from_database(self, value: Any) -> Any:
        """Return an organization's primary key as models have it: SQLite and MariaDB know no UUID, for one."""
        for convert in _converters(self.alias):
            value = convert(value, _organization(), self.connection)
        return value

    # The line between a process and its database server: how to end what the server does at the other end of it.

    #: Whether the driver knows by itself that a statement is under way, and lets signal handlers run meanwhile.
    knows_activity: ClassVar[bool] = False

    def worker_options(self) -> dict[str, Any]:
        """Return options of the driver with which a worker's connection notices soon that its server is gone."""
        return {}

    def prepare_for_worker(self, connection: Any) -> None:
        """Make a worker's new connection ready, so that what it asks of the server can be ended."""

    def line_of(self, connection: Any) -> int | None:
        """Return the descriptor of a connection's socket; None where it has none. Any thread may ask."""
        return None

    @contextlib.contextmanager
    def limited(self, seconds: float) -> Iterator[None]:
        """Have each statement of the block end with an OperationalError that takes longer. Only read in the block."""
        yield

    def end_statement(self, connection: Any, is_wanted: Callable[[], bool] = lambda: True) -> None:
        """Have the server give up the statement that is under way on a connection, if there is one.

        Any thread may call this. Takes two seconds at most. Whoever waits for the statement gets an Error. Where it
        takes long to find the statement, ``is_wanted`` is asked afterwards: another one may be under way by then.
        """

    def hang_up(self, connection: Any) -> None:
        """End a connection that another thread may use at this moment, and with it its transaction.

        Any thread may call this. Waits for nothing. A thread that uses the connection, now or later, gets an Error.
        """
        number = self.line_of(connection)
        if number is not None:
            with contextlib.suppress(OSError), socket_of(number) as line:
                line.shutdown(socket.SHUT_RDWR)

    # In which order rows of the Execution Log become visible.
    #
    # Ids are handed out before their transaction commits, so a lower id may become visible after a higher one.
    # Where the database does not tell which transactions are open, a transaction is taken to have ended after
    # timing.OPEN_TRANSACTION_SECONDS. The ids of one job are in order everywhere, because each change of a job
    # waits for the one before.
    #
    # Reading the log so that nothing is overlooked. An organization of None stands for everybody's log.

    def log_horizon(self) -> Horizon:
        """Return which transactions may still be open, to be read outside a transaction of one's own."""
        now = self.now().timestamp()
        return Horizon(next_id=now, oldest_open=now - timing.OPEN_TRANSACTION_SECONDS)

    def last_event(self, organization_pk: Any) -> int:
        """Return the id of an organization's newest row, 0 without any."""
        return _first_id(self.log_of(organization_pk).order_by("-id"))

    def log_of(self, organization_pk: Any) -> QuerySet[ExecutionLog]:
        """Return an organization's rows, so that the index on organization and transaction serves."""
        rows = ExecutionLog.primary.all()
        if organization_pk is None:
            return rows
        return rows.filter(organization_id=organization_pk, transaction_id__isnull=True)

    def events_behind(self, organization_pk: Any, since: int) -> QuerySet[ExecutionLog]:
        """Return an organization's rows that may have been invisible to a client that saw the row ``since``.

        If that row is gone, the newest one before it serves as well: it has fewer transactions behind it, so some
        events are told twice and none is missed.
        """
        rows = self.log_of(organization_pk)
        seen = ExecutionLog.primary.filter(id__lte=since).order_by("-id")
        moment = seen.values_list("timestamp", flat=True).first()
        if moment is None:
            return rows
        return rows.filter(
            id__gt=_first_id(seen.filter(timestamp__lt=moment - dt.timedelta(seconds=timing.OPEN_TRANSACTION_SECONDS)))
        )

    def log_mark(self, organization_pk: Any) -> int:
        """Return a mark of this moment: what becomes visible later is found behind it."""
        return _first_id(ExecutionLog.primary.order_by("-id"))

    def events_since(self, organization_pk: Any, marks: Sequence[int]) -> QuerySet[ExecutionLog]:
        """Return an organization's rows that may have become visible since the last of these marks.

        ``marks`` are those of the last polls, the newest last, as many as :meth:`marks_kept` says.
        """
        return self.log_of(organization_pk).filter(id__gt=marks[0])

    def marks_kept(self, organization_pk: Any) -> int:
        """Return how many marks a poll has to know."""
        return OPEN_POLLS

    # Adding up what the Execution Log tells, row by row.

    def tally(self, after: int, last: int) -> dict[TallyKey, Tally]:
        """Return the sums of the log rows with ids above ``after``, up to ``last``, by minute, type and organization.

        Rows of jobs that are deleted by now are passed over.
        """
        events = _events(after, last)
        jobs = _jobs({event.job_id for event in events})
        freed = _freed({event.job_id for event in events if _is_first_start(event)})
        tallies: dict[TallyKey, Tally] = defaultdict(Tally)
        for event in events:
            job = jobs.get(event.job_id)
            if job is None:
                continue
            place = TallyKey(
                span=int(Span.MINUTE),
                starts_at=start_of(Span.MINUTE, event.timestamp),
                job_type=job.job_type_id,
                organization=event.organization_id,
            )
            tallies[place].organization_name = job.organization_name
            _count(tallies[place], event, job, freed.get(event.job_id))
        return tallies


def as_moment(value: Any) -> Any:
    """Return a time as models have it. SQLite gives text, MariaDB a time without its zone, which is UTC."""
    if isinstance(value, str):
        value = dt.datetime.fromisoformat(value)
    if value is None:
        return None
    return value.astimezone(dt.UTC) if value.tzinfo else value.replace(tzinfo=dt.UTC)


class Moment(Now):
    """The moment of a statement. SQLite compares texts, so it has as many digits there as stored ones have."""

    def as_sqlite(self, compiler: Any, connection: Any, **extra_context: Any) -> Any:
        """Return SQL of the milliseconds, to which SQLite's clock counts, and three zeros."""
        moment = "STRFTIME('%%%%Y-%%%%m-%%%%d %%%%H:%%%%M:%%%%f000', 'NOW')"
        return self.as_sql(compiler, connection, template=moment, **extra_context)


def code_of(error: BaseException) -> str | int | None:
    """Return the driver's code, which is the same in every language: an SQLSTATE, or the number of a vendor."""
    cause = error.__cause__
    state: str | None = getattr(cause, "sqlstate", None)
    if state is None and cause is not None and cause.args and isinstance(cause.args[0], int):
        return cause.args[0]
    return state


@functools.cache
def _organization() -> Any:
    """Return the column of a job that has its organization's primary key."""
    field: Any = Job._meta.get_field("organization")
    return field.get_col(Job._meta.db_table)


@functools.cache
def _converters(alias: str) -> tuple[Callable[..., Any], ...]:
    """What the ORM does to a value of that column that it reads: what the driver needs, then what the field does."""
    connection, expression = connections[alias], _organization()
    return (*connection.ops.get_db_converters(expression), *expression.get_db_converters(connection))


def socket_of(number: int) -> socket.socket:
    """Return a socket of our own for a driver's descriptor, which the driver may close meanwhile."""
    return socket.socket(fileno=os.dup(number))


def _first_id(rows: QuerySet[ExecutionLog]) -> int:
    return rows.values_list("id", flat=True).first() or 0


def _count(found: Tally, event: ExecutionLog, job: Job, freed_at: dt.datetime | None) -> None:
    if event.from_status == Status.RUNNING:
        found.attempts[event.to_status] += 1
        if event.to_status not in COUNTED_AS:  # requeued
            return
    found.count(COUNTED_AS[event.to_status] if event.from_status else "submitted")
    # What dies on another way had its last attempt counted before, or never had one.
    if (event.from_status, event.to_status) == FAILED_FOR_GOOD:
        found.count("failed")
    if event.to_status == Status.COMPLETED and job.completed_at is not None:
        seconds = _seconds(job.started_at or job.completed_at, job.completed_at)
        found.measure("run", seconds, class_of(seconds))
        found.measure("attempt", seconds, class_of(seconds))
    elif event.from_status == Status.RUNNING and job.attempt == event.attempt and job.started_at is not None:
        seconds = _seconds(job.started_at, event.timestamp)
        found.measure("attempt", seconds, class_of(seconds))
    elif _is_first_start(event):
        # A job that asked to run later has another `run_at` by now, which is not what its first attempt waited for.
        due = [moment for moment in (job.created_at, job.run_at, freed_at) if moment and moment <= event.timestamp]
        seconds = _seconds(max(due, default=event.timestamp), event.timestamp)
        found.measure("wait", seconds, class_of(seconds))


def _is_first_start(event: ExecutionLog) -> bool:
    return event.to_status == Status.RUNNING and event.attempt == 1


def _seconds(start: dt.datetime, end: dt.datetime) -> float:
    return max(0.0, (end - start).total_seconds())


def _events(after: int, last: int) -> list[Any]:
    logs = ExecutionLog.primary.filter(_COUNTED, pk__gt=after, pk__lte=last).order_by("pk")
    return list(logs.values_list(*_READ_OF_EVENTS, named=True))


def _jobs(pks: set[int]) -> dict[int, Any]:
    # Not joined to the log: for so many rows the database might rather read all jobs.
    rows = Job.primary.order_by()
    found = {}
    for chunk in parts_of(sorted(pks)):
        for job in rows.filter(pk__in=chunk).values_list("id", *_READ_OF_JOBS, named=True):
            found[job.id] = job
    return found


def _freed(pks: set[int]) -> dict[int, dt.datetime]:
    """Return by child when the last of its parents completed."""
    links = JobDependency.primary.order_by()
    found: dict[int, dt.datetime] = {}
    for chunk in parts_of(sorted(pks)):
        parents = links.filter(child_id__in=chunk).values_list("child_id")
        found.update(dict(parents.annotate(freed_at=Max("parent__completed_at"))))
    return found
