"""The ASGI application around the host's: requests below ``/socket.io/`` are ours, all others the host's."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from django_jobs.contrib.socketio.server import SocketServer
from django_jobs.realtime import auth
from django_jobs.realtime.frames import MAX_BYTES

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: What the library reads without an error: packets of Socket.IO, and those of its own by which a transport lives.
_FRAME: Final = re.compile(r"4[0-6]|(1|2|3|5|6|2probe|3probe)\Z")


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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if not self._is_ours(scope):
            await self._inner(scope, receive, send)
            return
        if scope["type"] == "websocket":
            receive = _guarded(receive)
        elif auth.is_trusted_page(scope):
            send = _with_credentials(send)
        await self._server.handle(scope, receive, send)

    def _is_ours(self, scope: Scope) -> bool:
        if scope["type"] not in {"http", "websocket"}:
            return False
        path: str = scope["path"].removeprefix(scope.get("root_path", ""))
        return f"{path.rstrip('/')}/".startswith(self._path)


def _guarded(receive: Receive) -> Receive:
    """Return ``receive``, with the client hanging up where it sends what the library cannot read."""

    async def receive_frame() -> Any:
        message = await receive()
        text = message.get("text")
        is_readable = text is None or (len(text) <= 2 * MAX_BYTES and _FRAME.match(text))
        return message if is_readable else {"type": "websocket.disconnect", "code": 1002}

    return receive_frame


def _with_credentials(send: Send) -> Send:
    """Return ``send``, with the header by which a browser lets a trusted page of another origin send its cookies."""

    async def send_with_header(message: Any) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (b"access-control-allow-credentials", b"true")]
        await send(message)

    return send_with_header
