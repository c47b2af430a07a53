"""The engine's way to the database: which one, its clock, locks that suit the vendor, and retries of lost races."""

from __future__ import annotations

import contextlib
import datetime as dt
import random
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

from django.db import Error, InterfaceError, InternalError, OperationalError, connections, transaction
from django.db.models import QuerySet

from django_jobs.conf import jobs_settings, primary_alias

T = TypeVar("T")

#: Deadlock, no serialization, lock timeout: PostgreSQL's states, and the numbers of MariaDB and MySQL.
_LOST_RACES: Final = frozenset({"40P01", "40001", "55P03", 1205, 1213, 1020})
#: PostgreSQL ended the transaction because it heard nothing of it (see :func:`in_transaction`).
_IDLE_TOO_LONG: Final = "25P03"
#: The server takes no writes (any more), as the old one after a switch-over.
_READ_ONLY: Final = "25006"
#: The host's limit for one statement was reached, on PostgreSQL, MariaDB and MySQL.
_TOO_SLOW: Final = frozenset({"57014", 1969, 3024})
#: MariaDB's answer to a statement that is larger than it takes; it hangs up then, but the next try would be no better.
_TOO_LARGE = "max_allowed_packet"
MAX_TRIES = 8


def alias() -> str:
    """The database that holds jobs; reads go there too, since the row is the truth."""
    return primary_alias()


def rows(model: type[Any]) -> QuerySet[Any]:
    """All rows of a model of the host's, such as the tenant's, as they are where jobs are written."""
    found: QuerySet[Any] = model._default_manager.using(alias())
    return found


def connection() -> Any:
    return connections[alias()]


def is_postgresql() -> bool:
    return bool(connection().vendor == "postgresql")


#: The moment of a statement, in UTC. SQLite is this process, so is its clock.
_CLOCKS: Final = {"postgresql": "statement_timestamp()", "mysql": "UTC_TIMESTAMP(6)"}


def clock(field: Any) -> tuple[str, list[Any]]:
    """The moment of a statement as SQL, with its parameters, to be written into ``field``."""
    sql = _CLOCKS.get(connection().vendor)
    return ("%s", [field.get_db_prep_save(now(), connection())]) if sql is None else (sql, [])


def now() -> dt.datetime:
    """The database's clock, aware, in UTC."""
    sql = _CLOCKS.get(connection().vendor)
    if sql is None:
        return dt.datetime.now(dt.UTC)
    with connection().cursor() as cursor:
        cursor.execute(f"SELECT {sql}")
        value: dt.datetime = cursor.fetchone()[0]
    return value.astimezone(dt.UTC) if value.tzinfo else value.replace(tzinfo=dt.UTC)


def locked(queryset: QuerySet[Any], *, skip: bool = False) -> QuerySet[Any]:
    """The rows, locked in ascending primary key, which is what keeps sets of them from deadlocking.

    With ``skip``, rows that somebody else holds are left out. SQLite locks the whole database instead.
    """
    features = connection().features
    queryset = queryset.order_by("pk")
    if not features.has_select_for_update:
        return queryset
    return queryset.select_for_update(
        skip_locked=skip and features.has_select_for_update_skip_locked,
        no_key=features.has_select_for_no_key_update,
    )


def is_lost_connection(error: BaseException) -> bool:
    """Whether the database went away, so that the same call may succeed later."""
    if isinstance(error, InternalError):
        return _code(error) in {_IDLE_TOO_LONG, _READ_ONLY}
    if isinstance(error, OperationalError):
        return not is_lost_race(error) and _TOO_LARGE not in str(error)
    return isinstance(error, InterfaceError)


def is_lost_race(error: BaseException) -> bool:
    """Whether another transaction was in the way (deadlock, lock timeout), so that a new try is right."""
    if not isinstance(error, OperationalError):
        return False
    # SQLite gives one code for every table and database that is locked, and only in newer Pythons.
    return _code(error) in _LOST_RACES or "database is locked" in str(error)


def was_too_slow(error: BaseException) -> bool:
    """Whether the database ended a statement that took too long: it answers, and only this call has to wait."""
    return _code(error) in _TOO_SLOW


def _code(error: BaseException) -> str | int | None:
    """What the database calls the error in whatever language it speaks: PostgreSQL's state, or MariaDB's number."""
    cause = error.__cause__
    state: str | None = getattr(cause, "sqlstate", None)
    if state is None and cause is not None and cause.args and isinstance(cause.args[0], int):
        return cause.args[0]
    return state


def in_transaction(function: Callable[[], T]) -> T:
    """Run ``function`` in a transaction; again when it lost a race. Inside a caller's transaction: once.

    The server ends a transaction of ours of which it hears nothing for half of LEASE_SECONDS: a process that is frozen
    in its midst, or whose interpreter a handler holds, would else hold its rows for as long as that lasts. So nobody
    could rescue its jobs, nor renew their leases in time where the process lives. SQLite cannot.
    """
    if connection().vendor == "mysql":
        with connection().execute_wrapper(_by_primary_key):
            return _in_transaction(function)
    return _in_transaction(function)


#: Where a connection to MariaDB remembers the limit that it had before ours.
_HOSTS_LIMIT = "django_jobs_idle_transaction_timeout"
_JOB_TABLE = "`django_jobs_job`"
_BY_ID = f"WHERE {_JOB_TABLE}.`id` IN ("


def _by_primary_key(execute: Callable[..., Any], sql: str, *args: Any) -> Any:
    """Make MariaDB find a set of jobs by primary key. For a long list it would rather scan the table, and then waits
    for, and deadlocks over, rows that are none of the set's.
    """
    if _BY_ID in sql and sql.startswith(f"UPDATE {_JOB_TABLE} SET"):
        sql = sql.replace(_JOB_TABLE, f"{_JOB_TABLE} FORCE INDEX (PRIMARY)", 1)
    elif _BY_ID in sql and "FOR UPDATE" in sql:
        sql = sql.replace(f"FROM {_JOB_TABLE}", f"FROM {_JOB_TABLE} FORCE INDEX (PRIMARY)", 1)
    return execute(sql, *args)


def _in_transaction(function: Callable[[], T]) -> T:
    if connection().in_atomic_block:
        with transaction.atomic(using=alias()):
            return function()

    def run() -> T:
        with _transaction():
            return function()

    return retried(run)


def retried(function: Callable[[], T]) -> T:
    """Run what is one statement or one transaction; again when it lost a race. Inside a caller's transaction: once."""
    if connection().in_atomic_block:
        return function()
    for attempt in range(1, MAX_TRIES + 1):
        try:
            return function()
        except OperationalError as error:
            if attempt == MAX_TRIES or not is_lost_race(error):
                raise
            time.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311  (spreads rivals)
    raise AssertionError("unreachable")


@contextlib.contextmanager
def _transaction() -> Iterator[None]:
    """A transaction that does not outlast half of LEASE_SECONDS of silence."""
    seconds = max(1, int(float(jobs_settings.LEASE_SECONDS) / 2))
    if connection().vendor == "mysql":
        with _silence_limited_on_mariadb(seconds), transaction.atomic(using=alias()):
            yield
        return
    with transaction.atomic(using=alias()):
        if is_postgresql():
            with connection().cursor() as cursor:
                cursor.execute(f"SET LOCAL idle_in_transaction_session_timeout = '{seconds}s'")
        yield


@contextlib.contextmanager
def _silence_limited_on_mariadb(seconds: int) -> Iterator[None]:
    """MariaDB knows no limit for one transaction: set the session's, and then what the host has there."""
    name = "SESSION idle_transaction_timeout"
    with connection().cursor() as cursor:
        raw = connection().connection
        if not hasattr(raw, _HOSTS_LIMIT):
            cursor.execute("SELECT @@SESSION.idle_transaction_timeout")
            setattr(raw, _HOSTS_LIMIT, cursor.fetchone()[0])
        cursor.execute(f"SET {name} = {seconds}")
    try:
        yield
    finally:
        # On another connection, or none, there is nothing to take back.
        if connection().connection is raw:
            with contextlib.suppress(Error), connection().cursor() as cursor:
                cursor.execute(f"SET {name} = {getattr(raw, _HOSTS_LIMIT)}")


def on_commit(function: Callable[[], object]) -> None:
    """Call ``function`` once what was written is committed; never if it is not."""
    transaction.on_commit(function, using=alias(), robust=True)


def mend_connections() -> None:
    """Close what broke in this thread, so that its next use connects anew.

    Not Django's ``close_old_connections``: with the default CONN_MAX_AGE of 0 that would connect for every set. And
    whatever failed goes, though it may answer: behind an address that moved it reaches a server that only reads.
    """
    for item in connections.all(initialized_only=True):
        if item.errors_occurred and item.connection is not None and not item.in_atomic_block:
            drop(item)


def drop_connections() -> None:
    """Close this thread's connections, so that their next use connects anew."""
    for item in connections.all(initialized_only=True):
        drop(item)


def drop(item: Any) -> None:
    """Close a connection in whatever state it is: mysqlclient refuses to close one that is closed already."""
    with contextlib.suppress(Error):
        item.close()
