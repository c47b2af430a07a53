"""Running the engine's own frequent statements, prepared by the server where the host allows that.

Parsing and planning one of them takes as long as running it. Preparing saves that, but needs a connection that stays
with one server process, which PgBouncer gives only in newer versions. So the host says it, as Django and psycopg know
it: ``DATABASES["default"]["OPTIONS"]["prepare_threshold"]`` set to a number.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from weakref import WeakKeyDictionary

from django_jobs.engine.store.base.transactions import Params

#: A plain comment is enough to have a statement planned anew: seconds after which that is done anyhow.
PLAN_SECONDS: Final = 30
#: It begins the comment.
MARK: Final = "-- django_jobs "
#: Up to so many jobs one plan does for all.
FEW: Final = 4


def keys(slot: str, rows: int) -> str:
    """Return SQL of an array of keys, by the SQL of its parameter, for a statement about so many jobs.

    For a few the planner must not see how many they are. It takes an array that it does not see for ten keys; so a plan
    for any values would seem to cost more than one for these, and the server would go on planning each time, or not, by
    what it last counted.
    """
    return f"(SELECT {slot}::bigint[])::bigint[]" if rows <= FEW else f"{slot}::bigint[]"


def fetch(connection: Any, sql: str, params: Params, *, rows: int, newest: int) -> list[tuple[Any, ...]]:
    """Return the rows that a statement gives.

    ``rows`` is how many jobs it is about: a large set wants a plan for its size. ``newest`` is a primary key near the
    table's end: a plan that was made for a small table is not kept for one twice as large.
    """
    if rows <= FEW and may_prepare(connection):
        return _fetch_prepared(connection, sql, params, newest.bit_length())
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())


def may_prepare(connection: Any) -> bool:
    """Return whether the host allows it, and no wrapper or log of Django would miss the statements."""
    return connection.settings_dict["OPTIONS"].get("prepare_threshold") is not None and not _is_watched(connection)


def _is_watched(connection: Any) -> bool:
    return bool(connection.execute_wrappers or connection.queries_logged)


@contextlib.contextmanager
def sending_ahead(connection: Any) -> Iterator[None]:
    """Send the block's statements without waiting for the server; only what is fetched is waited for.

    The error of a statement comes from it or from a later one, the end of the block at the latest. So it is only for
    an open transaction, and where no wrapper or log of Django asks how long a statement took or how it ended. The
    driver may be too old for it, or its libpq.
    """
    raw = connection.connection
    pipeline = getattr(raw, "pipeline", None)
    if pipeline is None or _is_watched(connection) or not _libpq_has_pipelines():
        yield
        return
    with connection.wrap_database_errors, pipeline():
        yield


def _fetch_prepared(connection: Any, sql: str, params: Params, size: int) -> list[tuple[Any, ...]]:
    connection.ensure_connection()
    connection.validate_thread_sharing()
    connection.validate_no_broken_transaction()
    make_cursor, whole = _psycopg()
    sql = f"{sql} {MARK}{_age(connection.connection)}.{size}"
    typed: Any
    if isinstance(params, Mapping):
        typed = {name: _typed(value, whole) for name, value in params.items()}
    else:
        typed = [_typed(value, whole) for value in params]
    with connection.wrap_database_errors:
        cursor = make_cursor(connection.connection)
        cursor.execute(sql, typed, prepare=True)
        return list(cursor.fetchall())


#: The age for which each connection prepares.
_ages: Final[WeakKeyDictionary[Any, int]] = WeakKeyDictionary()


def _age(raw: Any) -> int:
    """Return the age of a connection's plans. What was prepared for the one before is deallocated when it changes.

    Where the host forbids psycopg to deallocate (``prepared_max`` None), there is one age: plans stay until PostgreSQL
    itself finds them out of date.
    """
    if getattr(raw, "prepared_max", None) is None:
        return 0
    age = int(time.monotonic() / PLAN_SECONDS)
    if _ages.get(raw) != age:
        _ages[raw] = age
        _deallocate_superseded(raw)
    return age


def _deallocate_superseded(raw: Any) -> None:
    """Have psycopg deallocate our texts, which are those of an earlier age, after its next statement.

    It would do so by itself only for what is more than ``prepared_max``, a hundred on each connection. It has no public
    name for this; should these go, that bound remains.
    """
    prepared = getattr(raw, "_prepared", None)
    names, flush = getattr(prepared, "_names", {}), getattr(prepared, "_to_flush", None)
    if flush is not None:
        flush.extend([names.pop(key) for key in list(names) if MARK.encode() in key[0]])


def _typed(value: Any, whole: Callable[[int], Any]) -> Any:
    """Send whole numbers in one width: for each combination of widths the server would prepare a statement."""
    if type(value) is int:
        return whole(value)
    if type(value) is list and value and all(item is None or type(item) is int for item in value):
        return [item if item is None else whole(item) for item in value]
    return value


@functools.cache
def _psycopg() -> tuple[Any, Any]:
    """What needs the driver; it is there only where PostgreSQL is used."""
    from psycopg import Cursor
    from psycopg.types.numeric import Int8

    return Cursor, Int8


@functools.cache
def _libpq_has_pipelines() -> bool:
    from psycopg import Pipeline

    return Pipeline.is_supported()
