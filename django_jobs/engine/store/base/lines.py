"""The line between a process and its database server: how to end what the server does at the other end of it."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Final

#: How long a new connection may take.
CONNECT_SECONDS: Final = 10
#: What ends a statement may itself meet a server that does not answer: it waits for so many seconds.
END_SECONDS: Final = 1.0


class Lines:
    """What a database can do about a statement that is under way."""

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

    def is_asked(self, connection: Any) -> bool:
        """Return whether a statement may be under way."""
        return True

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


def socket_of(number: int) -> socket.socket:
    """Return a socket of our own for a driver's descriptor, which the driver may close meanwhile."""
    return socket.socket(fileno=os.dup(number))
