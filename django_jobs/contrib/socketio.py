"""Live progress for clients of Socket.IO: the rooms, rights and limits of :mod:`django_jobs.realtime` by its protocol.

``application = with_socketio(application)`` around the host's ASGI application is all. It needs the extra ``socketio``.
This is the only package that imports ``engineio`` and ``socketio``.

Of the library it uses the transports (Engine.IO) and the packets. The few rules of Socket.IO between them are in
``Client``, and not those of ``socketio.AsyncServer``, which reads packets before anybody counts them, keeps binary
attachments without a bound, logs a traceback for each malformed packet, and lets frames pile up for a slow client.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextvars import ContextVar
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import parse_qs

try:
    import engineio
    from socketio.packet import ACK, BINARY_ACK, BINARY_EVENT, CONNECT, CONNECT_ERROR, DISCONNECT, EVENT, Packet
except ImportError as error:
    message = "Socket.IO needs the extra socketio: pip install 'django-durable-jobs[socketio]'"
    raise ImportError(message) from error

from django_jobs.realtime import auth, identity, protocol
from django_jobs.realtime.connections import FRAMES_A_SECOND, BadFrame, Connection, TokenBucket
from django_jobs.realtime.identity import Identity
from django_jobs.realtime.protocol import MAX_BYTES, REVOKED, TOO_MANY, TRY_AGAIN

# Frames of ``realtime`` as Socket.IO packets, and a client's packets as frames.


#: What a client emits, and the action of the websocket that it stands for.
ACTIONS: Final = {"join_room": "join", "leave_room": "leave", "ping": "ping"}
#: Frames that are an event's only argument as they are. All others have ``data``.
_ANSWERS: Final = frozenset({"joined", "left", "error", "pong"})
#: How many frames are kept as packets: a frame goes to all clients in its room at about the same time.
_KEPT: Final = 64


def encode(kind: int, data: object = None, *, number: int | None = None, namespace: str | None = None) -> str:
    """Return a packet. ``number`` is that of the acknowledgement."""
    return str(Packet(kind, data=data, id=number, namespace=namespace).encode())


@lru_cache(_KEPT)
def fields_of(frame: str) -> Mapping[str, Any]:
    """Return the fields of a frame. Do not change them."""
    fields: dict[str, Any] = json.loads(frame)
    return fields


@lru_cache(_KEPT)
def event_packet(frame: str, *, has_about: bool) -> str:
    """Return the packet of a frame: an event with its data, and after it the room and id if ``has_about``."""
    fields = dict(fields_of(frame))
    name = fields.pop("event")
    if name in _ANSWERS:
        return encode(EVENT, [name, fields])
    data = fields.pop("data")
    return encode(EVENT, [name, data, fields] if has_about else [name, data])


def parse(text: object) -> Any:
    """Return the library's packet. Raises BadFrame."""
    if not isinstance(text, str):
        raise BadFrame("Send JSON, not binary data.")
    try:
        packet = Packet(encoded_packet=text)
    except (ValueError, IndexError, RecursionError) as error:
        raise BadFrame("Send a packet of Socket.IO.") from error
    if packet.packet_type in {BINARY_EVENT, BINARY_ACK}:
        raise BadFrame("Send JSON, not binary data.")
    return packet


def frame_of(packet: Any) -> dict[str, Any]:
    """Return the frame that an event stands for. Raises BadFrame."""
    if packet.namespace not in {None, "/"}:
        raise BadFrame("There is only the namespace /.")
    name, argument = event_of(packet)
    if not isinstance(name, str):
        raise BadFrame("Send an event.")
    if name not in ACTIONS:
        raise BadFrame(f"The event is {', '.join(ACTIONS)}.")
    if isinstance(argument, dict):
        return {"action": ACTIONS[name], "room": argument.get("room"), "since": argument.get("since")}
    return {"action": ACTIONS[name], "room": argument}


def event_of(packet: Any) -> tuple[Any, Any]:
    """Return the name of an event and its first argument, each None where there is none."""
    is_event = packet is not None and packet.packet_type == EVENT and isinstance(packet.data, list)
    told: list[Any] = [*packet.data, None, None] if is_event else [None, None]
    return told[0], told[1]


# How a client of Socket.IO says who it is, and what it is told when it does not or may not come in.


UNAUTHENTICATED: Final = "unauthenticated"
NOBODY: Final = (
    'Say who you are: by auth {"token": …} or {"ticket": …}, by a query token=…, by the Authorization header, or by a '
    "session from a page of this host or of WEBSOCKET_ORIGINS."
)
#: By the code with which a websocket is refused: the code of the answer, and its text.
REFUSALS: Final[Mapping[int, tuple[str, str]]] = MappingProxyType(
    {
        REVOKED: (UNAUTHENTICATED, "The token, ticket or session is not valid, or its user is not active."),
        TOO_MANY: ("limit", "The user has as many sockets open as a user may have."),
        TRY_AGAIN: ("unavailable", "The server cannot answer now. Connect again later."),
    }
)


def identity_of(scope: Mapping[str, Any], given: object) -> Identity | None:
    """Return who the client says it is, unchecked; None when it does not say.

    ``given`` is the client's ``auth``. It goes before the query, which goes before what a websocket may say.
    """
    query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
    places: list[Mapping[str, object]] = [{way: values[0] for way, values in query.items()}]
    if isinstance(given, dict):
        places.insert(0, given)
    for place in places:
        for way in (identity.TICKET, identity.TOKEN):
            secret = place.get(way)
            if secret:
                # What is no text is no token of anybody.
                return auth.identity_by(way, secret if isinstance(secret, str) else "", scope)
    return auth.identity_of(scope)


# One transport: a websocket or long polls, as the library serves them.


#: Packets that wait in a transport. More wait in the client's outbox, which is bounded and tells what it dropped.
USUAL_PACKETS: Final = 100
#: Beyond this, a transport's own packets (pings, answers to an upgrade) are dropped.
MAX_PACKETS: Final = 500


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


class Transport:
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


# One client of Socket.IO: who it is, what it asks for, what it is sent, and how it ends.


logger = logging.getLogger("django_jobs")

Scope = Mapping[str, Any]

#: How long a client may take to say who it is.
CONNECT_SECONDS: Final = 10.0
#: How long a client that was told why it is put out may take to read that.
LINGER_SECONDS: Final = 2.0
#: How many packets of a client may wait while another one is answered. Only several polls at once make them wait.
MAX_WAITING: Final = 50


class Client:
    """A client, from the opening of its transport on. Its packets are answered one after the other."""

    def __init__(self, transport: Transport, sid: str) -> None:
        self._transport = transport
        #: The name that the client is told. The transport has another one, a secret.
        self._sid = sid
        self._connection: Connection | None = None
        #: Rooms that were joined by an object: their events have a second argument.
        self._with_about: set[str] = set()
        self._lock = asyncio.Lock()
        self._waiting = 0
        self._rate_limit = TokenBucket(FRAMES_A_SECOND)
        self._is_over = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._deadline = asyncio.get_running_loop().call_later(CONNECT_SECONDS, self._start, self._give_up)

    @property
    def is_known(self) -> bool:
        """Return whether the client has said who it is."""
        return self._connection is not None

    async def receive(self, data: str | bytes, scope: Scope) -> None:
        """Do what a packet asks for. ``scope`` is that of the request that brought it."""
        if self._waiting >= MAX_WAITING:
            self._end_soon()
            return
        self._waiting += 1
        try:
            async with self._lock:
                if not self._is_over:
                    await self._answer(data, scope)
        except Exception:
            logger.exception("event=socketio_failed")
            self._end_soon()
        finally:
            self._waiting -= 1

    async def _answer(self, data: str | bytes, scope: Scope) -> None:
        if self._connection is None:
            await self._connect(data, scope)
        else:
            await self._take(self._connection, data)
            await self._connection.socket.ready()

    def gone(self) -> asyncio.Task[None] | None:
        """Give back what the client took: its transport has ended. Return the task that does so, if there is one."""
        self._is_over = True
        self._deadline.cancel()
        if self._connection is None:
            return None
        self._connection.abort()
        return self._start(self._end)

    async def _end(self) -> None:
        async with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                await connection.end()

    def give_way(self) -> None:
        """End at once, without a word: a client that came later takes the place."""
        self._is_over = True
        self._deadline.cancel()
        self._start(self._transport.hang_up)

    # -- who it is -------------------------------------------------------------------------------------------------

    async def _connect(self, data: str | bytes, scope: Scope) -> None:
        if not self._rate_limit.take():
            await self._refuse("limit", f"At most {FRAMES_A_SECOND} packets a second.")
            return
        if len(data) > MAX_BYTES:
            await self._refuse("limit", f"A packet has at most {MAX_BYTES} bytes.")
            return
        try:
            packet = parse(data)
        except BadFrame as error:
            await self._refuse("bad_request", str(error))
            return
        if packet.packet_type == DISCONNECT:
            self._end_soon()
        elif packet.packet_type != CONNECT:
            await self._refuse(UNAUTHENTICATED, f"Connect before anything else. {NOBODY}")
        elif packet.namespace not in {None, "/"}:
            await self._say_no("not_found", "There is only the namespace /.", packet.namespace)
        else:
            await self._let_in(packet.data, scope)

    async def _let_in(self, given: object, scope: Scope) -> None:
        identity = identity_of(scope, given)
        if identity is None:
            await self._refuse(UNAUTHENTICATED, NOBODY)
            return
        self._connection = connection = Connection(self._send, identity)
        connection.socket.on_close = self._end_soon
        code = await connection.accept()
        if not code:
            self._deadline.cancel()
            await self._transport.send_at_once(encode(CONNECT, {"sid": self._sid}))
            return
        self._connection = None
        await connection.end()
        if code == TRY_AGAIN:  # without a word: the client's library then connects again by itself
            self._end_soon()
        else:
            await self._refuse(*REFUSALS[code])

    async def _give_up(self) -> None:
        async with self._lock:
            if self._connection is None and not self._is_over:
                await self._refuse(UNAUTHENTICATED, f"{CONNECT_SECONDS:.0f} seconds have passed. {NOBODY}")

    async def _refuse(self, code: str, message: str) -> None:
        await self._say_no(code, message, None)
        self._end_soon()

    async def _say_no(self, code: str, message: str, namespace: str | None) -> None:
        await self._transport.send_at_once(_refusal(code, message, namespace))

    # -- what it asks for ------------------------------------------------------------------------------------------

    async def _take(self, connection: Connection, data: str | bytes) -> None:
        packet: Any = None

        def read() -> dict[str, Any]:
            nonlocal packet
            packet = parse(data)
            return frame_of(packet)

        if isinstance(data, str) and data.startswith(str(DISCONNECT)):
            self._end_soon()
        else:
            await connection.answer(protocol.size_of(data), read, lambda frame: self._reply(connection, frame, packet))

    def _reply(self, connection: Connection, frame: str, packet: Any) -> None:
        """Send the answer to a packet, which is None where it was not understood."""
        fields = dict(fields_of(frame))
        event, argument = event_of(packet)
        if fields["event"] == "joined":
            self._with_about.intersection_update(connection.socket.subscriptions)
            (self._with_about.add if isinstance(argument, dict) else self._with_about.discard)(fields["room"])
        if fields["event"] == "error":
            if packet is not None and packet.packet_type == CONNECT:  # the client wants to enter another namespace
                connection.socket.put(_refusal(fields["code"], fields["detail"], packet.namespace))
                return
            if isinstance(event, str) and event in ACTIONS:
                fields["detail"] = f"{event} refused: {fields['detail']}"
        connection.socket.put(protocol.dumps(fields))
        if event is not None and packet.id is not None:
            connection.socket.put(encode(ACK, [fields], number=packet.id))

    # -- what it is sent -------------------------------------------------------------------------------------------

    async def _send(self, message: Mapping[str, Any]) -> None:
        """Send a frame or a packet to the client, or put it out: what a connection calls its socket."""
        if message["type"] == "websocket.close":
            await self._put_out(message["code"])
            return
        text = message["text"]
        if text.startswith("{"):
            room = fields_of(text).get("room")
            text = event_packet(text, has_about=room in self._with_about)
        await self._transport.send(text)

    async def _put_out(self, code: int) -> None:
        """Tell the client why, and end. It connects again by itself only where that makes sense: after TRY_AGAIN."""
        if code in REFUSALS:
            event = protocol.error_frame(*REFUSALS[code])
            await self._transport.send(event_packet(event, has_about=False))
        if code != TRY_AGAIN:
            await self._transport.send(encode(DISCONNECT))

    # -- its end ---------------------------------------------------------------------------------------------------

    def _end_soon(self) -> None:
        """End the transport, but let the client read first what it was told: the next poll may be on its way."""
        if not self._is_over:
            self._is_over = True
            self._deadline.cancel()
            self._start(self._linger)

    async def _linger(self) -> None:
        await asyncio.sleep(LINGER_SECONDS)
        await self._transport.hang_up()

    def _start(self, duty: Callable[[], Any]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(duty())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _refusal(code: str, message: str, namespace: str | None) -> str:
    return encode(CONNECT_ERROR, {"message": message, "data": {"code": code}}, namespace=namespace)


# The open transports of a process.


#: The scope of the request that brought a packet.
request_scope: ContextVar[Scope] = ContextVar("request_scope")
#: How many clients may be about to say who they are. For one more, the first of them has to go, so that nobody who
#: opens many keeps others out.
MAX_UNKNOWN: Final = 10_000
#: How long a client may take to read the end of its transport.
END_SECONDS: Final = 5.0


class SocketServer:
    """The transports and their clients."""

    def __init__(self) -> None:
        self._clients: dict[str, Client] = {}
        #: Those of them that have not said who they are, in the order of their coming.
        self._unknown: dict[str, Client] = {}
        self._ending: set[asyncio.Task[None]] = set()
        # Pages of all origins may connect; whose session counts is asked in `identity_of`.
        self.engine: Any = engineio.AsyncServer(
            async_mode="asgi",
            async_handlers=False,  # a client's packets one after the other, so that a flood waits in its own line
            cors_allowed_origins="*",
            cors_credentials=False,  # `with_socketio` allows them to pages that may use a session
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
        client = Client(Transport(self.engine, sid), self.engine.generate_id())
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
    ours, server = f"/{path.strip('/')}/", SocketServer()

    async def serve(scope: HttpScope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"} or not _path_of(scope).startswith(ours):
            await application(scope, receive, send)
        elif scope["type"] == "http":
            await _serve_poll(server, scope, receive, send)
        else:
            receive = _guarded(receive)
            if "sid" in parse_qs(scope["query_string"].decode("latin-1")):
                receive = _upgrading(receive, send)
            await server.handle(scope, receive, send)

    return serve


def _path_of(scope: HttpScope) -> str:
    path: str = scope["path"].removeprefix(scope.get("root_path", ""))
    return f"{path.rstrip('/')}/"


async def _serve_poll(server: SocketServer, scope: HttpScope, receive: Receive, send: Send) -> None:
    body = await _read_body(receive)
    if body is None:
        return
    if auth.is_trusted_page(scope):
        send = _with_credentials(send)
    if len(body) > MAX_BODY:
        await send({"type": "http.response.start", "status": 413, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": b""})
        return
    await server.handle(scope, _beginning_with({"type": "http.request", "body": body}, receive), send)


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
