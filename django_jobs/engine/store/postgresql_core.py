"""How statements of our own are written for PostgreSQL, and run."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import json
import select
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, NamedTuple

from django.db import OperationalError, connections, models, transaction
from django.db.models import QuerySet

from django_jobs.engine import timing
from django_jobs.engine.store.base_core import PROBES, SILENCE, M, Params
from django_jobs.engine.store.base_jobs import Store

#: What a log row says of its transaction, and of the oldest one that is open beside it.
OWN_TRANSACTION: Final = "pg_current_xact_id()::text::bigint"
OLDEST_OPEN: Final = "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
#: Types that are of length one where none is given.
_OF_ANY_LENGTH: Final = {"char": "bpchar", "character": "bpchar", "bit": "varbit"}
_NEXT_KEY: Final = """
    SELECT coalesce(
        'nextval(' || quote_literal(pg_get_serial_sequence(%s, 'id')::regclass::text) || ')', (
            SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d
            JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
            WHERE a.attrelid = %s::regclass AND a.attname = 'id'
        )
    )
"""
#: Types whose text, in quotes, is what PostgreSQL reads.
_PLAIN: Final = frozenset({int, bool, dt.datetime, uuid.UUID})
#: It begins a comment, of which another one is enough to have a statement planned anew.
MARK: Final = "-- django_jobs "
#: In these isolation levels, each statement sees all that is committed.
_FRESH: Final = frozenset({"read committed", "read uncommitted"})
#: Up to so many jobs one plan does for all.
FEW: Final = 4
#: A pooler in between tells the driver another process id than that of the server's process.
_LOOK: Final = "SELECT set_config('client_connection_check_interval', '2s', false) WHERE pg_backend_pid() = %s"
#: libpq's PQTRANS_ACTIVE.
_ACTIVE: Final = 1
#: libpq's CONNECTION_OK.
_GOOD: Final = 0
#: libpq's PGRES_COPY_OUT, PGRES_COPY_IN and PGRES_COPY_BOTH: results that come again and again.
_COPYING: Final = frozenset({3, 4, 8})


class PostgreSQLCore(Store):
    """How statements run on PostgreSQL, and how one is ended."""

    sql_locks_jobs: ClassVar[str] = " FOR NO KEY UPDATE OF j SKIP LOCKED"
    waits_in_line: ClassVar[bool] = True
    ready_since: ClassVar[str] = "extract(epoch FROM ready_at)::double precision"

    def fetch(self, sql: str, params: Params, *, rows: int = 1, newest: int = 0) -> list[tuple[Any, ...]]:
        """A large set wants a plan for its size. A plan for a small table is not kept for one twice as large."""
        if rows <= FEW and may_prepare(self.connection):
            return _fetch_prepared(self.connection, sql, params, newest.bit_length())
        return super().fetch(sql, params)

    def _by_keys(self, pks: Sequence[int]) -> tuple[str, Params]:
        # One text, and so one plan, for any number of keys that are few.
        return f"= ANY({keys('%s', len(pks))})", [array(pks)]

    def sql_now(self) -> str:
        return "statement_timestamp()"

    @contextlib.contextmanager
    def transaction(self, silence: int) -> Iterator[None]:
        with transaction.atomic(using=self.alias):
            with self.connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL idle_in_transaction_session_timeout = '{silence}s'")
            yield

    def has_old_view(self) -> bool:
        if not self.connection.in_atomic_block:
            return False
        return self.fetch("SELECT current_setting('transaction_isolation')", [])[0][0] not in _FRESH

    def first_locked(self, queryset: QuerySet[M], seconds: float) -> M | None:
        """Wait in line with all others who do: by looking again and again it would be chance who is next."""
        found = super().first_locked(queryset, seconds)
        if found is not None or seconds <= 0:  # mostly there is no need for a savepoint
            return found
        try:
            with transaction.atomic(using=self.alias), self.connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL lock_timeout = '{round(seconds * 1000)}ms'")
                found = self.locked(queryset).first()
                cursor.execute("SET LOCAL lock_timeout = DEFAULT")
        except OperationalError as error:
            if not self.is_lost_race(error):  # in stricter isolation it is lost where the other wrote the row
                raise
            return None
        return found

    @contextlib.contextmanager
    def following_keys(self) -> Iterator[None]:
        """Have the planner do without sorting, which it prefers where it takes many rows for a few."""
        with transaction.atomic(using=self.alias), self.connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_sort = off")
            yield
            cursor.execute("SET LOCAL enable_sort = DEFAULT")

    # Ending a statement: a cancel request goes over a connection of its own. The driver knows whether one is under way.

    knows_activity: ClassVar[bool] = True

    def worker_options(self) -> dict[str, Any]:
        return {
            "connect_timeout": timing.DATABASE_CONNECT_SECONDS,
            "keepalives": 1,
            "keepalives_idle": timing.KEEPALIVE_IDLE_SECONDS,
            "keepalives_interval": timing.KEEPALIVE_PROBE_SECONDS,
            "keepalives_count": PROBES,
            "tcp_user_timeout": 1000 * SILENCE,
        }

    def prepare_for_worker(self, connection: Any) -> None:
        """Have the server look every two seconds, while it works, whether this process still is there.

        Not behind a PgBouncer, whose clients share the settings of its connections.
        """
        raw, state = connection.connection, _state(connection)
        if state is not None:
            # Some systems' servers cannot look. To Django that is no failure, after which it would connect anew.
            with contextlib.suppress(connection.Database.Error), raw.cursor() as cursor:
                cursor.execute(_LOOK, [state.backend_pid])

    def line_of(self, connection: Any) -> int | None:
        state = _state(connection)
        return state.socket if state is not None and state.status == _GOOD else None

    @contextlib.contextmanager
    def limited(self, seconds: float) -> Iterator[None]:
        with transaction.atomic(using=self.alias), self.connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = '{max(1, round(1000 * seconds))}ms'")  # 0 is no limit
            yield
            cursor.execute("SET LOCAL statement_timeout = DEFAULT")

    def end_statement(self, connection: Any, is_wanted: Callable[[], bool] = lambda: True) -> None:
        raw, state = connection.connection, _state(connection)
        if state is None or state.transaction_status != _ACTIVE:
            return
        raw.cancel_safe(timeout=timing.STATEMENT_END_SECONDS)
        # Another thread that waits for the statement reads the answer itself.
        if connections[connection.alias] is connection:
            _read_to_the_end(state)


# Columns of our tables as SQL names and fills them, read from the models.


#: What each row of the Execution Log has whose job is ``id`` in what the statement inserts from.
LOGGED: Final = {
    "job_id": "id",
    "timestamp": "statement_timestamp()",
    "organization_id": "organization_id",
    "transaction_id": OWN_TRANSACTION,
    "oldest_open_id": OLDEST_OPEN,
}


class Column(NamedTuple):
    """A column's name, its type without a length, which would cut silently, and whether it holds JSON."""

    name: str
    sql_type: str
    is_json: bool


@functools.cache
def columns_of(model: type[models.Model], alias: str) -> dict[str, Column]:
    """Return the columns of a model by the names of the attributes that hold their values."""
    return {
        field.attname: Column(
            f'"{field.column}"',
            without_length(str(field.db_type(connections[alias]))),
            isinstance(field, models.JSONField),
        )
        for field in model._meta.concrete_fields
    }


def without_length(sql_type: str) -> str:
    """Return the type of values of any length, for ``char(26)`` and such, which a host's keys may be."""
    name = sql_type.partition("(")[0].strip()
    return _OF_ANY_LENGTH.get(name, name)


@functools.cache
def next_key(model: type[models.Model], alias: str) -> str:
    """Return SQL for the next key of a model, which a statement gives to a row before it inserts that row.

    Where a restored or partitioned table's sequence is nobody's own, that is what the column's default says. Either
    way it names the schema only where the search path does not lead there, as it does to the table: a host may give
    each of its customers a schema. A role that is not the table's owner needs USAGE of the sequence.
    """
    table = f'"{model._meta.db_table}"'
    with connections[alias].cursor() as cursor:
        cursor.execute(_NEXT_KEY, [table, table])
        return str(cursor.fetchone()[0]).replace("%", "%%")


def insert(model: type[models.Model], given: Mapping[str, str], source: str) -> str:
    """Return an INSERT of rows that a SELECT makes: ``given`` are its expressions, by the names of attributes.

    Every other column gets what the model says. Only the key may be left to the database.
    """
    unknown = given.keys() - {field.attname for field in model._meta.concrete_fields}
    if unknown:
        raise ValueError(f"{model.__name__} has no {', '.join(sorted(unknown))}")
    values = {
        f'"{field.column}"': given.get(field.attname) or _literal(field)
        for field in model._meta.concrete_fields
        if field.attname in given or not field.primary_key
    }
    return f'INSERT INTO "{model._meta.db_table}" ({", ".join(values)}) SELECT {", ".join(values.values())} {source}'


def _literal(field: models.Field[Any, Any]) -> str:
    """Return a field's default as SQL."""
    value = field.get_default()
    if value is None:
        return "NULL"
    if isinstance(value, bool | int):
        return str(value).lower()
    text = json.dumps(value) if isinstance(value, dict | list) else str(value)
    return "'" + text.replace("'", "''").replace("%", "%%") + "'"


# Rows as a statement takes them: what all share as one parameter, and the rest column by column, as one text each.
#
# A text takes a fraction of the time that the driver needs for a list: it writes each element by itself.


class Slot(NamedTuple):
    """How the values of one column get into a statement: by a parameter for all rows, or as a column of each."""

    name: str
    sql_type: str
    is_json: bool
    is_shared: bool

    def __str__(self) -> str:
        """Return the SQL of the value."""
        if self.is_shared:
            return f"%({self.name})s::{self.sql_type}"
        return f"NULLIF({self.name}, 'null')" if self.is_json else self.name

    @property
    def column(self) -> str:
        """Return SQL of the function whose rows are the values."""
        return (
            f"jsonb_array_elements(%({self.name})s::jsonb)"
            if self.is_json
            else f"unnest(%({self.name})s::{self.sql_type}[])"
        )


def slot(name: str, sql_type: str, values: Sequence[Any], params: dict[str, Any], *, is_json: bool = False) -> Slot:
    """Return how these values travel, and put into ``params`` what is to be sent. JSON is encoded."""
    first = values[0]
    is_shared = values.count(first) == len(values)
    if is_shared:
        params[name] = None if is_json and first == "null" else first
    else:
        params[name] = json_array(values) if is_json else array(values)
    return Slot(name, sql_type, is_json, is_shared)


def unnested(slots: Iterable[Slot]) -> str:
    """Return SQL of rows, as many as the parameter ``count`` says, with a ``place`` and what is not the same in all."""
    own = [slot for slot in slots if not slot.is_shared]
    functions = ["generate_series(1, %(count)s::bigint)", *(slot.column for slot in own)]
    names = ["place", *(slot.name for slot in own)]
    return f"ROWS FROM ({', '.join(functions)}) AS given({', '.join(names)})"


def array(values: Sequence[Any]) -> str | list[Any]:
    """Return an array of these values: PostgreSQL's text of it, or a list for the driver to write. JSON has its own."""
    found = set(values)
    try:
        elements = {value: _element(value) for value in found}
    except NotImplementedError:
        return list(values)
    return f"{{{','.join(map(elements.__getitem__, values))}}}"


def json_array(texts: Iterable[str]) -> str:
    """Return a JSON array of values that are JSON already."""
    return f"[{','.join(texts)}]"


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        text = str.__str__(value).replace("\\", "\\\\").replace('"', '\\"')
        return f'"{text}"'
    if type(value) in _PLAIN:
        return f'"{value}"'
    raise NotImplementedError


# Running the engine's own frequent statements, prepared by the server where the host allows that.
#
# Parsing and planning one of them takes as long as running it. Preparing saves that, but needs a connection that stays
# with one server process, which PgBouncer gives only in newer versions. So the host says it, as Django and psycopg know
# it: ``DATABASES["default"]["OPTIONS"]["prepare_threshold"]`` set to a number.


def keys(param: str, rows: int) -> str:
    """Return SQL of an array of keys, by the SQL of its parameter, for a statement about so many jobs.

    For a few the planner must not see how many they are. It takes an array that it does not see for ten keys; so a plan
    for any values would seem to cost more than one for these, and the server would go on planning each time, or not, by
    what it last counted.
    """
    return f"(SELECT {param}::bigint[])::bigint[]" if rows <= FEW else f"{param}::bigint[]"


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
    sql = f"{sql} {MARK}{size}"
    typed: Any
    if isinstance(params, Mapping):
        typed = {name: _typed(value, whole) for name, value in params.items()}
    else:
        typed = [_typed(value, whole) for value in params]
    with connection.wrap_database_errors:
        cursor = make_cursor(connection.connection)
        cursor.execute(sql, typed, prepare=True)
        return list(cursor.fetchall())


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


def _state(connection: Any) -> Any:
    """Return libpq's connection; psycopg 2 has none."""
    return getattr(connection.connection, "pgconn", None)


def _read_to_the_end(state: Any) -> None:
    """Read what the server still sends, so that it has ended the statement, and the connection can be rolled back."""
    deadline = time.monotonic() + timing.STATEMENT_END_SECONDS
    poll = select.poll()
    poll.register(state.socket, select.POLLIN)
    while state.transaction_status == _ACTIVE:
        if state.is_busy():
            left = deadline - time.monotonic()
            if left <= 0 or not poll.poll(1000 * left):
                return
            state.consume_input()
        else:
            result = state.get_result()
            if result is None or result.status in _COPYING:
                return
