"""Ending a statement on PostgreSQL: a cancel request goes over a connection of its own."""

from __future__ import annotations

import contextlib
import select
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Final

from django.db import connections, transaction

from django_jobs.engine.store.base import Store
from django_jobs.engine.store.base.lines import CONNECT_SECONDS, END_SECONDS

#: A peer that was silent for so many seconds is probed.
IDLE_SECONDS: Final = 5
#: After so many probes without an answer, each so many seconds after the one before, it counts as gone.
PROBES: Final = 3
PROBE_SECONDS: Final = 2
#: A pooler in between tells the driver another process id than that of the server's process.
_LOOK: Final = "SELECT set_config('client_connection_check_interval', '2s', false) WHERE pg_backend_pid() = %s"
#: libpq's PQTRANS_ACTIVE.
_ACTIVE: Final = 1
#: libpq's CONNECTION_OK.
_GOOD: Final = 0
#: libpq's PGRES_COPY_OUT, PGRES_COPY_IN and PGRES_COPY_BOTH: results that come again and again.
_COPYING: Final = frozenset({3, 4, 8})


class Lines(Store):
    """A driver that knows whether a statement is under way."""

    knows_activity: ClassVar[bool] = True

    def worker_options(self) -> dict[str, Any]:
        silence = IDLE_SECONDS + PROBES * PROBE_SECONDS
        return {
            "connect_timeout": CONNECT_SECONDS,
            "keepalives": 1,
            "keepalives_idle": IDLE_SECONDS,
            "keepalives_interval": PROBE_SECONDS,
            "keepalives_count": PROBES,
            "tcp_user_timeout": 1000 * silence,
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

    def is_asked(self, connection: Any) -> bool:
        state = _state(connection)
        return state is not None and state.transaction_status == _ACTIVE

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
        raw.cancel_safe(timeout=END_SECONDS)
        # Another thread that waits for the statement reads the answer itself.
        if connections[connection.alias] is connection:
            _read_to_the_end(state)


def _state(connection: Any) -> Any:
    """Return libpq's connection; psycopg 2 has none."""
    return getattr(connection.connection, "pgconn", None)


def _read_to_the_end(state: Any) -> None:
    """Read what the server still sends, so that it has ended the statement, and the connection can be rolled back."""
    deadline = time.monotonic() + END_SECONDS
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
