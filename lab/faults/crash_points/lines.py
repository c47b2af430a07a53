"""Lines to PostgreSQL and Redis that know where one request ends and the next begins.

Each is a port in this process, behind which the real server answers. Requests go one by one, also those that a client
sends together, so that a process can die between any two of them. What a client says when it connects is no boundary:
nothing has changed by then.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable
from typing import Final, Protocol

import hiredis

from lab.faults.crash_points.boundaries import Boundaries, Boundary, Harm

#: Of a half open line: how long the server believes in it. Its own keepalive would end it after as long as it is set.
BELIEF_SECONDS: Final = 2.0
#: What a client says to Redis when it connects.
GREETINGS: Final = ("HELLO", "CLIENT SETINFO", "CLIENT SETNAME", "SELECT", "AUTH")


class Ended(Exception):
    """One side has closed the connection."""


class Pipe:
    """One end of a connection, read in whole pieces."""

    def __init__(self, end: socket.socket, watched: socket.socket | None = None) -> None:
        self.end = end
        self._watched = watched
        self._buffer = b""

    def exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._buffer += self.some()
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            self._buffer += self.some()
        taken, _, self._buffer = self._buffer.partition(b"\r\n")
        return taken + b"\r\n"

    def some(self) -> bytes:
        """Whatever comes next. Raises Ended when this end, or the watched one, was closed."""
        ends = [self.end] if self._watched is None else [self.end, self._watched]
        while True:
            ready, _, _ = select.select(ends, [], [])
            if self._watched in ready:
                assert self._watched is not None
                if not self._watched.recv(1, socket.MSG_PEEK):
                    raise Ended
                ends = [self.end]  # it has said more, and will be heard after the answer
            if self.end in ready:
                if not (data := self.end.recv(65536)):
                    raise Ended
                return data


class Protocol_(Protocol):  # noqa: N801
    """How requests and answers are told apart."""

    name: str

    def __init__(self, client: Pipe, server: Pipe) -> None: ...

    def greet(self) -> None:
        """Carry what is said before the first request."""

    def request(self) -> tuple[bytes, str]:
        """The next request, and what it is in words; no words for what does not count."""

    def answer(self) -> bytes:
        """The whole answer of the server."""

    def fall_silent(self) -> None:
        """Keep the client waiting, for as long as it takes by its own limits."""


class PostgreSQL:
    """The protocol of PostgreSQL, version 3: a request ends with Query or Sync, its answer with ReadyForQuery."""

    name = "postgresql"
    _NO_ENCRYPTION: Final = {80877103, 80877104}

    def __init__(self, client: Pipe, server: Pipe) -> None:
        self._client = client
        self._server = server
        self._prepared: dict[bytes, bytes] = {}

    def greet(self) -> None:
        while True:
            size = self._client.exactly(4)
            rest = self._client.exactly(int.from_bytes(size) - 4)
            if int.from_bytes(rest[:4]) not in self._NO_ENCRYPTION:
                break
            self._client.end.sendall(b"N")
        self._server.end.sendall(size + rest)
        self._client.end.sendall(self.answer())

    def request(self) -> tuple[bytes, str]:
        data, text = b"", b""
        while True:
            kind, message = self._message(self._client)
            data += message
            text = self._words(kind, message[5:]) or text
            if kind in b"QSX":
                return data, text.decode(errors="replace")

    def _words(self, kind: bytes, body: bytes) -> bytes:
        match kind:
            case b"Q":
                return body.rstrip(b"\0")
            case b"P":
                name, sql = body.split(b"\0")[:2]
                self._prepared[name] = sql
                return sql
            case b"B":
                return self._prepared.get(body.split(b"\0")[1], b"")
        return b""

    def answer(self) -> bytes:
        data = b""
        while True:
            kind, message = self._message(self._server)
            data += message
            if kind == b"Z":
                return data

    def fall_silent(self) -> None:
        """The client's limit is one of TCP, which is not at hand here: the line breaks at its end at once."""

    @staticmethod
    def _message(pipe: Pipe) -> tuple[bytes, bytes]:
        head = pipe.exactly(5)
        return head[:1], head + pipe.exactly(int.from_bytes(head[1:]) - 4)


class Redis:
    """The protocol of Redis: each command is answered by one reply."""

    name = "redis"

    def __init__(self, client: Pipe, server: Pipe) -> None:
        self._client = client
        self._server = server
        self._reader = hiredis.Reader(notEnoughData=Ended)

    def greet(self) -> None:
        """The client speaks first."""

    def request(self) -> tuple[bytes, str]:
        head = self._client.line()
        data, words = head, []
        for _ in range(int(head[1:])):
            size = self._client.line()
            word = self._client.exactly(int(size[1:]) + 2)
            data += size + word
            words.append(word[:-2].decode(errors="replace"))
        text = " ".join(words[:4])
        return data, "" if text.upper().startswith(GREETINGS) else text

    def answer(self) -> bytes:
        data = b""
        while True:
            chunk = self._server.some()
            data += chunk
            self._reader.feed(chunk)
            if self._reader.gets() is not Ended:
                return data

    def fall_silent(self) -> None:
        """The client gives up by its own limit, and closes the connection."""
        self._client.some()


class Line:
    """A port that leads to a server."""

    def __init__(self, target: tuple[str, int], kind: Callable[[Pipe, Pipe], Protocol_], watch: Boundaries) -> None:
        self._target = target
        self._kind = kind
        self._watch = watch
        self._believing = threading.Event()
        self._open: set[threading.Thread] = set()
        self._server = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                thread = threading.Thread(target=self._carry, args=[client], daemon=True)
                self._open.add(thread)
                thread.start()

    def _carry(self, client: socket.socket) -> None:
        with contextlib.ExitStack() as ending:
            ending.callback(client.close)
            ending.enter_context(contextlib.suppress(Ended, OSError))
            server = ending.enter_context(socket.create_connection(self._target))
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            protocol = self._kind(Pipe(client), Pipe(server, watched=client))
            protocol.greet()
            while self._exchange(protocol, client, server):
                pass
            if self._watch.harm == Harm.HALF_OPEN:
                protocol.fall_silent()
                client.close()
                self._believing.wait(BELIEF_SECONDS)

    def _exchange(self, protocol: Protocol_, client: socket.socket, server: socket.socket) -> bool:
        """Carry one request and its answer; whether the line still stands."""
        data, text = protocol.request()
        if not text:
            server.sendall(data)
            client.sendall(protocol.answer())
            return True
        number = self._watch.before(Boundary(protocol.name, text))
        server.sendall(data)
        answer = protocol.answer()
        # PostgreSQL's last byte says so.
        is_open = protocol.name == PostgreSQL.name and not answer.endswith(b"I")
        if not self._watch.after(number, is_open=is_open):
            return False
        client.sendall(answer)
        return True

    def settle(self) -> None:
        """Wait until nothing of the last process is connected; a half open line ends now."""
        self._believing.set()
        for thread in list(self._open):
            thread.join(10)
            self._open.discard(thread)
        self._believing.clear()

    def close(self) -> None:
        self._server.close()
