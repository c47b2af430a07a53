"""What may stand between a client and its server, and is worse than none: silence, slowness, a line that breaks."""

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

    with _Server(("127.0.0.1", 0), Line) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


class BreakableLine:
    """A port behind which another server answers, until the line is cut, and again once it is mended."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._is_cut = False
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        line = self

        class Line(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                line._join(self.request)

        self._server = _Server(("127.0.0.1", 0), Line)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _join(self, client: socket.socket) -> None:
        with self._lock:
            if self._is_cut:
                return
            upstream = socket.create_connection(self._target)
            self._open |= {client, upstream}
        with upstream:
            threading.Thread(target=_carry, args=[client, upstream], daemon=True).start()
            _carry(upstream, client)
        with self._lock:
            self._open -= {client, upstream}

    def cut(self) -> None:
        """End what is connected; who comes is hung up on."""
        with self._lock:
            self._is_cut = True
            for end in self._open:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._is_cut = False

    def close(self) -> None:
        self.cut()
        self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


def _carry(source: socket.socket, target: socket.socket, late: float = 0.0) -> None:
    pause = threading.Event()
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            pause.wait(late)
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
