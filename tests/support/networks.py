"""Servers between a client and Redis that are worse than one that is gone."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def blackhole() -> Iterator[int]:
    """A port that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
        yield server.getsockname()[1]


@contextlib.contextmanager
def slow_line(port: int, seconds: float) -> Iterator[int]:
    """A port behind which that other one answers, each time ``seconds`` late."""

    class Line(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", port)) as upstream:
                threading.Thread(target=_carry, args=[self.request, upstream], daemon=True).start()
                _carry(upstream, self.request, seconds)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server(("127.0.0.1", 0), Line) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def _carry(source: socket.socket, target: socket.socket, late: float = 0.0) -> None:
    pause = threading.Event()
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            pause.wait(late)
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
