"""What every other need of a store builds on: the connection, the clock, locks, transactions and kinds of errors."""

from __future__ import annotations

import contextlib
import datetime as dt
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, TypeAlias, TypeVar

from django.db import InterfaceError, InternalError, OperationalError, connections, transaction
from django.db.models import Model, QuerySet
from django.db.models.functions import Now
from django.db.models.sql import Query

from django_jobs.conf import jobs_settings
from django_jobs.models import Job

M = TypeVar("M", bound=Model)
Q = TypeVar("Q", bound=QuerySet[Any])
T = TypeVar("T")

#: Of a statement: in the order of its ``%s``, or by the names in its ``%(name)s``.
Params: TypeAlias = Sequence[Any] | Mapping[str, Any]

MAX_TRIES: Final = 8


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


class Transactions:
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

    def clock(self, field: Any) -> tuple[str, list[Any]]:
        """Return SQL for the moment of a statement, to be written into ``field``, and its parameters."""
        return self.sql_now(), []

    def now(self) -> dt.datetime:
        """Return the database's time, aware, in UTC."""
        moment: dt.datetime = as_moment(self.fetch(f"SELECT {self.sql_now()}", [])[0][0])
        return moment

    # Locks and transactions.

    def locked(self, queryset: Q, *, skip: bool = False) -> Q:
        """Return the rows, to be locked in ascending primary key: so sets of them do not deadlock.

        With ``skip``, rows that somebody else holds are left out. A database that cannot lock rows locks itself.
        """
        features = self.connection.features
        queryset = queryset.order_by("pk")
        if not features.has_select_for_update:
            return queryset
        return queryset.select_for_update(
            skip_locked=skip and features.has_select_for_update_skip_locked,
            no_key=features.has_select_for_no_key_update,
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

    def in_transaction(self, function: Callable[[], T]) -> T:
        """Run ``function`` in a transaction; again when it lost a race. Inside a caller's transaction: once.

        Where it can, the server ends a transaction of ours of which it hears nothing for half of LEASE_SECONDS.
        A process that is frozen in its midst, or whose interpreter a handler holds, would else hold its rows for as
        long as that lasts: nobody could rescue its jobs, nor renew their leases in time where the process lives.
        """
        if self.connection.in_atomic_block:
            with transaction.atomic(using=self.alias):
                return function()

        def run() -> T:
            with self.transaction(max(1, int(float(jobs_settings.LEASE_SECONDS) / 2))):
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


def code_of(error: BaseException) -> str | int | None:
    """Return the driver's code, which is the same in every language: an SQLSTATE, or the number of a vendor."""
    cause = error.__cause__
    state: str | None = getattr(cause, "sqlstate", None)
    if state is None and cause is not None and cause.args and isinstance(cause.args[0], int):
        return cause.args[0]
    return state
