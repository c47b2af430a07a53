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


class _Line:
    """A port behind which another server answers."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._open: set[socket.socket] = set()
        join = self._join

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                join(self.request)

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def lead_to(self, port: int) -> None:
        """Lead those who connect from now on to a server at another port; what is connected stays."""
        self._target = (self._target[0], port)

    def _join(self, client: socket.socket) -> None:
        """Carry what is said between the client and the other server."""
        raise NotImplementedError

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class BreakableLine(_Line):
    """One that answers until it is cut or silent, and again once it is mended."""

    def __init__(self, host: str, port: int) -> None:
        self._is_cut = False
        self._flows = threading.Event()
        self._flows.set()
        self._lock = threading.Lock()
        super().__init__(host, port)

    def _join(self, client: socket.socket) -> None:
        with self._lock:
            if self._is_cut:
                return
            upstream = socket.create_connection(self._target)
            self._open |= {client, upstream}
        with upstream:
            threading.Thread(target=_carry, args=[client, upstream, 0.0, self._flows], daemon=True).start()
            _carry(upstream, client, flows=self._flows)
        with self._lock:
            self._open -= {client, upstream}

    def cut(self) -> None:
        """End what is connected; who comes is hung up on."""
        with self._lock:
            self._is_cut = True
            self._flows.set()
            for end in self._open:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def silence(self) -> None:
        """Carry nothing, and hang up on nobody, as a network does that loses every packet."""
        self._flows.clear()

    def mend(self) -> None:
        self._is_cut = False
        self._flows.set()

    def close(self) -> None:
        self.cut()
        super().close()


class HalfOpenLine(_Line):
    """One whose answers get lost, while it still hears and stays open."""

    def __init__(self, host: str, port: int) -> None:
        self._silent: set[socket.socket] = set()
        self._lose_after: bytes | None = None
        super().__init__(host, port)

    def lose_answers(self) -> None:
        """Lose all answers on what is connected now; new connections are fine."""
        self._silent |= set(self._open)

    def lose_answer_to(self, words: bytes) -> None:
        """Lose all answers on the next connection on which these words are said, from then on."""
        self._lose_after = words

    @property
    def has_lost(self) -> bool:
        return bool(self._silent)

    def _join(self, client: socket.socket) -> None:
        with socket.create_connection(self._target) as server:
            self._open.add(client)
            threading.Thread(target=self._pass_on, args=[client, server], daemon=True).start()
            with contextlib.suppress(OSError):
                while data := server.recv(65536):
                    if client not in self._silent:
                        client.sendall(data)
        self._open.discard(client)

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                if self._lose_after is not None and self._lose_after in data:
                    self._lose_after = None
                    self._silent.add(client)
                server.sendall(data)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


def _carry(
    source: socket.socket, target: socket.socket, late: float = 0.0, flows: threading.Event | None = None
) -> None:
    pause = threading.Event()
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            pause.wait(late)
            if flows is not None:
                flows.wait()
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
