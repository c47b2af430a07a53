"""The ASGI application around the host's: requests below ``/socket.io/`` are ours, all others the host's."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final
from urllib.parse import parse_qs

from django_jobs.contrib.socketio.server import SocketServer
from django_jobs.realtime import auth
from django_jobs.realtime.protocol import MAX_BYTES

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
