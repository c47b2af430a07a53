"""A line between clients and their server that breaks in every way in which networks do."""

from __future__ import annotations

import contextlib
import enum
import socket
import socketserver
import threading
from collections.abc import Collection
from typing import Final

from tests.support.addresses import HOST

CHUNK: Final = 65536


class Direction(enum.Enum):
    """Which way bytes go."""

    REQUESTS = "requests"
    ANSWERS = "answers"


BOTH: Final = tuple(Direction)


class Line:
    """A port of this machine behind which the server at another port answers, until the line fails.

    It is mended before it fails in another way.
    """

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self._target = (HOST, port)
        self._calls: set[_Call] = set()
        self._lock = threading.Lock()
        self._is_cut = False
        self._swallowed: frozenset[Direction] = frozenset()
        self._delay = 0.0
        self._flows = threading.Event()
        self._flows.set()
        line = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                line._connect(self.request)

        self._server = _Server((HOST, 0), Handler)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def cut(self) -> None:
        """End what is connected; who comes is hung up on."""
        with self._lock:
            self._is_cut = True
            for call in self._calls:
                call.hang_up()

    def stall(self) -> None:
        """Hold everything back; it is delivered when the line is mended, as after lost packets."""
        self._flows.clear()

    def swallow(self, directions: Collection[Direction] = BOTH) -> None:
        """Lose what is sent, without a word; a connection that lost something says nothing until it is mended."""
        self._swallowed = frozenset(directions)

    def delay(self, seconds: float) -> None:
        """Be late with everything."""
        self._delay = seconds

    def mend(self) -> None:
        """Be whole again. Connections that lost something end, as they do once a keepalive gets no answer."""
        with self._lock:
            self._is_cut, self._swallowed, self._delay = False, frozenset(), 0.0
            for call in self._calls:
                if call.lost:
                    call.hang_up()
        self._flows.set()

    def close(self) -> None:
        self.cut()
        self._flows.set()
        self._server.shutdown()
        self._server.server_close()

    def _connect(self, client: socket.socket) -> None:
        self._flows.wait()
        with contextlib.suppress(OSError):
            if self._is_cut:
                return
            with socket.create_connection(self._target) as server:
                call = _Call(client, server)
                with self._lock:
                    self._calls.add(call)
                self._hang_up_if_cut(call)
                requests = threading.Thread(target=self._carry, args=[call, Direction.REQUESTS], daemon=True)
                requests.start()
                self._carry(call, Direction.ANSWERS)
                requests.join()
                with self._lock:
                    self._calls.discard(call)

    def _hang_up_if_cut(self, call: _Call) -> None:
        """The line may have been cut while the server was called."""
        if self._is_cut:
            call.hang_up()

    def _carry(self, call: _Call, direction: Direction) -> None:
        source, target = call.ends(direction)
        pause = threading.Event()
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                self._flows.wait()
                if self._delay:
                    pause.wait(self._delay)
                if direction in self._swallowed:
                    call.lost.add(direction)
                if direction not in call.lost:
                    target.sendall(data)
        # An end that comes over a line that loses it is not heard of until the line is mended.
        if direction in self._swallowed or call.lost:
            call.lost.add(direction)
        else:
            call.hang_up()


class _Call:
    """One connection over the line."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self._client = client
        self._server = server
        #: The directions in which something was lost, and nothing arrives any more.
        self.lost: set[Direction] = set()
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ends(self, direction: Direction) -> tuple[socket.socket, socket.socket]:
        """Where bytes come from, and where they go."""
        return (self._client, self._server) if direction is Direction.REQUESTS else (self._server, self._client)

    def hang_up(self) -> None:
        for end in (self._client, self._server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128
