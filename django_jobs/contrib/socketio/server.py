"""The Socket.IO server: its transports, and its application."""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import ContextVar
from typing import Any, Final
from urllib.parse import parse_qs

import engineio

from django_jobs.contrib.socketio.clients import Client, Scope
from django_jobs.realtime import auth
from django_jobs.realtime.protocol import MAX_BYTES

# The open transports of a process: websockets and long polls, as the library serves them.


#: The scope of the request that brought a packet.
request_scope: ContextVar[Scope] = ContextVar("request_scope")
#: How many clients may be about to say who they are. For one more, the first of them has to go, so that nobody who
#: opens many keeps others out.
MAX_UNKNOWN: Final = 10_000
#: Packets that wait in a transport. More wait in the client's outbox, which is bounded and tells what it dropped.
USUAL_PACKETS: Final = 100
#: Beyond this, a transport's own packets (pings, answers to an upgrade) are dropped.
MAX_PACKETS: Final = 500
#: How long a client may take to read the end of its transport.
END_SECONDS: Final = 5.0


class PacketQueue(asyncio.Queue[Any]):
    """A transport's queue. It is bounded: a client could make the library put one packet after the other into it."""

    async def put(self, item: Any) -> None:
        """Add a packet, or drop it if MAX_PACKETS wait. None, which ends the transport, is never dropped."""
        if item is None or self.qsize() < MAX_PACKETS:
            await super().put(item)

    def release(self) -> None:
        """Drop what waits, so that nobody waits until it is sent, and end the writer of a websocket.

        The library waits so for clients that read nothing more, and leaves them their websockets until they go.
        """
        while not self.empty():
            self.get_nowait()
            self.task_done()
        self.put_nowait(None)


class SocketServer:
    """The transports and their clients."""

    def __init__(self) -> None:
        self._clients: dict[str, Client] = {}
        #: Those of them that have not said who they are, in the order of their coming.
        self._unknown: dict[str, Client] = {}
        self._ending: set[asyncio.Task[None]] = set()
        # Pages of all origins may connect; whose session counts is asked in `credentials`.
        self.engine: Any = engineio.AsyncServer(
            async_mode="asgi",
            async_handlers=False,  # a client's packets one after the other, so that a flood waits in its own line
            cors_allowed_origins="*",
            cors_credentials=False,  # `application` allows them to pages that may use a session
            max_http_buffer_size=2 * MAX_BYTES,
            logger=_silent_logger(),
        )
        self.engine.create_queue = PacketQueue
        self.engine.on("connect", self._opened)
        self.engine.on("message", self._received)
        self.engine.on("disconnect", self._closed)

    async def _opened(self, sid: str, _environ: object) -> None:
        """Note a new transport."""
        if len(self._unknown) >= MAX_UNKNOWN:
            first = self._unknown.pop(next(iter(self._unknown)))
            if not first.is_known:  # else it is just being let in
                first.give_way()
        client = Client(EngineTransport(self.engine, sid), self.engine.generate_id())
        self._clients[sid] = self._unknown[sid] = client

    async def _received(self, sid: str, data: Any) -> None:
        client = self._clients.get(sid)
        if client is not None:
            await client.receive(data if isinstance(data, str | bytes) else "", request_scope.get())
            if client.is_known:
                self._unknown.pop(sid, None)

    async def _closed(self, sid: str, _reason: str) -> None:
        transport = self.engine.sockets.get(sid)
        if transport is not None:
            asyncio.get_running_loop().call_later(END_SECONDS, transport.queue.release)
        self._unknown.pop(sid, None)
        client = self._clients.pop(sid, None)
        task = None if client is None else client.gone()
        if task is not None:
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def handle(self, scope: Scope, receive: Any, send: Any) -> None:
        """Serve a request or a websocket.

        Wait for the clients that end meanwhile, as a web server that stops waits for its requests.
        """
        request_scope.set(scope)
        await self.engine.handle_request(scope, receive, send)
        if self._ending:
            await asyncio.wait(self._ending)


def _silent_logger() -> logging.Logger:
    """Return a logger for the library, which would log what clients send, tokens included, and fill the log."""
    logger = logging.getLogger(f"{__name__}.engineio")
    logger.setLevel(logging.CRITICAL + 1)
    return logger


class EngineTransport:
    """One transport of the library."""

    def __init__(self, engine: Any, sid: str) -> None:
        self._engine = engine
        self._sid = sid

    async def send(self, packet: str) -> None:
        """Send a packet, once fewer than USUAL_PACKETS wait."""
        while (socket := self._engine.sockets.get(self._sid)) and socket.queue.qsize() >= USUAL_PACKETS:
            await socket.queue.join()
        if socket is not None:
            await self._engine.send(self._sid, packet)

    async def send_at_once(self, packet: str) -> None:
        """Send a packet without waiting; drop it if MAX_PACKETS wait."""
        if self._sid in self._engine.sockets:
            await self._engine.send(self._sid, packet)

    async def hang_up(self) -> None:
        """End the transport, whether the client reads or not."""
        socket = self._engine.sockets.get(self._sid)
        if socket is None:
            return
        try:
            await self._engine.disconnect(self._sid)
        finally:
            socket.queue.release()


# The ASGI application around the host's: requests below ``/socket.io/`` are ours, all others the host's.


HttpScope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[HttpScope, Receive, Send], Awaitable[None]]

#: What the library reads without an error: packets of Socket.IO, and those of its own by which a transport lives.
_FRAME: Final = re.compile(r"4[0-6]|(1|2|3|5|6|2probe|3probe)\Z")
#: Bytes of a request's body, or of a frame of the transport, which has more than one packet's.
MAX_BODY: Final = 2 * MAX_BYTES
#: How long a client may take for each of the two frames by which a websocket takes the place of its polls.
UPGRADE_SECONDS: Final = 10.0
#: A frame of the transport that says nothing. In the place of those two it ends the upgrade, and the polls go on.
_NOTHING: Final = {"type": "websocket.receive", "text": "6"}


def with_socketio(application: App, path: str = "/socket.io/") -> App:
    """Return the host's ASGI application with Socket.IO at ``path``, over websockets and long polls.

    The rest, with its websockets and its lifespan, is served as before.
    """
    return SocketIOApplication(application, path)


class SocketIOApplication:
    """An ASGI application that answers Socket.IO and leaves the rest to ``inner``."""

    def __init__(self, inner: App, path: str) -> None:
        self._inner = inner
        self._path = f"/{path.strip('/')}/"
        self._server = SocketServer()

    async def __call__(self, scope: HttpScope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if not self._is_ours(scope):
            await self._inner(scope, receive, send)
            return
        if scope["type"] == "websocket":
            receive = _guarded(receive)
            if "sid" in parse_qs(scope["query_string"].decode("latin-1")):
                receive = _upgrading(receive, send)
            await self._server.handle(scope, receive, send)
        else:
            await self._serve_poll(scope, receive, send)

    async def _serve_poll(self, scope: HttpScope, receive: Receive, send: Send) -> None:
        body = await _read_body(receive)
        if body is None:
            return
        if auth.is_trusted_page(scope):
            send = _with_credentials(send)
        if len(body) > MAX_BODY:
            await send({"type": "http.response.start", "status": 413, "headers": [(b"connection", b"close")]})
            await send({"type": "http.response.body", "body": b""})
            return
        await self._server.handle(scope, _beginning_with({"type": "http.request", "body": body}, receive), send)

    def _is_ours(self, scope: HttpScope) -> bool:
        if scope["type"] not in {"http", "websocket"}:
            return False
        path: str = scope["path"].removeprefix(scope.get("root_path", ""))
        return f"{path.rstrip('/')}/".startswith(self._path)


async def _read_body(receive: Receive) -> bytes | None:
    """Return a request's body, or so much of it that it is too long; None where the client is gone before its end."""
    body = b""
    is_complete = False
    while not is_complete and len(body) <= MAX_BODY:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        is_complete = not message.get("more_body", False)
    return body


def _guarded(receive: Receive) -> Receive:
    """Return ``receive``, with the client hanging up where it sends what the library cannot read."""

    async def receive_frame() -> Any:
        message = await receive()
        text, binary = message.get("text"), message.get("bytes")
        is_short = len(text or binary or "") <= MAX_BODY
        is_readable = is_short and (text is None or _FRAME.match(text))
        return message if is_readable else {"type": "websocket.disconnect", "code": 1002}

    return receive_frame


def _upgrading(receive: Receive, send: Send) -> Receive:
    """Return ``receive``, with an upgrade that fails or takes too long ended so that the polls of its client go on.

    The library would wait for the frames without a limit, whether the client has said who it is or not, and where the
    websocket ends before the first it would answer every poll at once with nothing.
    """
    numbers = itertools.count()

    async def receive_frame() -> Any:
        if next(numbers) not in {1, 2}:  # the first message is the handshake
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), UPGRADE_SECONDS)
        except TimeoutError:
            await send({"type": "websocket.close"})
            return _NOTHING
        return _NOTHING if message["type"] == "websocket.disconnect" else message

    return receive_frame


def _beginning_with(first: Any, receive: Receive) -> Receive:
    """Return ``receive``, which tells this message, already received, before the others."""
    kept = [first]

    async def receive_message() -> Any:
        return kept.pop() if kept else await receive()

    return receive_message


def _with_credentials(send: Send) -> Send:
    """Return ``send``, with the header by which a browser lets a trusted page of another origin send its cookies."""

    async def send_with_header(message: Any) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (b"access-control-allow-credentials", b"true")]
        await send(message)

    return send_with_header
