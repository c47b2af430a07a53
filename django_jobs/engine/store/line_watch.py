"""Lines to the database on which no answer comes, though the other end still takes what is sent.

Keepalive does not find them: a proxy or a pooler in between answers it. The kernel knows when it sent and received
something last. Where a thread of the engine waits for longer than it should, the statement is canceled, for a server
that is only slow, and then the line is hung up, so that the thread gets an error and connects anew.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any, Final

from django_jobs.engine.store import database
from django_jobs.engine.store.base.lines import socket_of
from django_jobs.engine.store.chosen import store_of

logger = logging.getLogger("django_jobs")

#: For how long a server may be silent about one statement of a worker's own.
SILENT_SECONDS: Final = 10.0
#: For how long it may be silent about one of a scheduler's duties, which are larger.
DUTY_SECONDS: Final = 30.0
#: How long a server has to cancel the statement before the line is hung up.
CANCEL_SECONDS: Final = 2.5
LOOK_SECONDS: Final = 0.5
#: Of Linux's ``struct tcp_info``: milliseconds since data was last sent, and received.
_LAST_DATA: Final = struct.Struct("=44xI4xI")


class _Line:
    """A thread's connection to the database that holds jobs, and for how long it may wait there, if it does."""

    def __init__(self) -> None:
        self.connection = database.connection()
        self.seconds: float | None = None
        #: The driver's connection of which the statement was canceled.
        self.canceled: Any = None


_of_thread = threading.local()
_lines: weakref.WeakSet[_Line] = weakref.WeakSet()


@contextlib.contextmanager
def waiting(seconds: float | None = None) -> Iterator[None]:
    """Say that the engine, and no handler, uses this thread's connection inside the block.

    The server may be silent for so many seconds; for ``SILENT_SECONDS`` where none are named.
    """
    line = getattr(_of_thread, "line", None)
    if line is None:
        line = _of_thread.line = _Line()
        _lines.add(line)
    line.connection = database.connection()
    before, line.seconds = line.seconds, SILENT_SECONDS if seconds is None else seconds
    try:
        yield
    finally:
        line.seconds = before


def renew() -> None:
    """Look at the connection that this thread has got in the place of another one."""
    if (line := getattr(_of_thread, "line", None)) is not None:
        line.connection = database.connection()


def start() -> None:
    """Look at all lines of this process, in a thread, from now on."""
    threading.Thread(target=_look_for_ever, name="line watch", daemon=True).start()


def _look_for_ever() -> None:
    while True:
        time.sleep(LOOK_SECONDS)
        look()


def look() -> None:
    """Give up what got no answer for too long. Waits for no network."""
    with contextlib.suppress(RuntimeError):  # another thread's first line came meanwhile: the next look sees it
        for line in list(_lines):
            try:
                _look_at(line)
            except Exception:  # the other lines must be looked at as well
                logger.exception("event=line_watch_failed")


def _look_at(line: _Line) -> None:
    raw, limit = line.connection.connection, line.seconds
    if raw is None or limit is None or not store_of(line.connection.alias).is_asked(line.connection):
        return
    number = store_of(line.connection.alias).line_of(line.connection)
    silence = 0.0 if number is None else _silence(number)
    if silence < limit:
        line.canceled = None
    elif line.canceled is not raw:
        line.canceled = raw
        logger.warning("event=line_silent alias=%s seconds=%.0f", line.connection.alias, silence)
        threading.Thread(target=_cancel, args=[line], name="line watch: cancel", daemon=True).start()
    elif silence >= limit + CANCEL_SECONDS and line.connection.connection is raw:
        store_of(line.connection.alias).hang_up(line.connection)


def _cancel(line: _Line) -> None:
    try:
        store_of(line.connection.alias).end_statement(line.connection, lambda: line.seconds is not None)
    except Exception as error:  # noqa: BLE001  (the line is hung up then)
        logger.debug("event=statement_not_ended alias=%s error=%r", line.connection.alias, error)


def _silence(number: int) -> float:
    """Return for how many seconds the other end has said nothing to what was sent; 0 where it is not a TCP line."""
    try:
        with socket_of(number) as line:
            sent, received = _LAST_DATA.unpack(line.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_DATA.size))
    except (OSError, AttributeError):  # a Unix socket, one that was closed, or another system than Linux
        return 0.0
    return sent / 1000 if sent <= received else 0.0
