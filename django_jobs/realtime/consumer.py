"""The websocket endpoint: it turns a client's frames into questions to its :class:`Connection`."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from django_jobs.realtime.auth import PROTOCOL, SCOPE_KEY
from django_jobs.realtime.connections import BadFrame, Connection, Send
from django_jobs.realtime.protocol import REVOKED, size_of

Receive = Callable[[], Awaitable[dict[str, Any]]]


class JobsConsumer:
    """One websocket. The class is an ASGI application, to be used through :meth:`as_asgi`."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    @classmethod
    def as_asgi(cls) -> Callable[[Mapping[str, Any], Receive, Send], Awaitable[None]]:
        """Return the application for a URL route inside :func:`~django_jobs.realtime.auth.JobsAuthMiddlewareStack`."""

        async def application(scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
            await receive()  # the handshake
            protocol = PROTOCOL if PROTOCOL in (scope.get("subprotocols") or ()) else None
            await send({"type": "websocket.accept", "subprotocol": protocol})
            await cls._serve(scope, receive, send)

        return application

    @classmethod
    async def _serve(cls, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        identity = scope.get(SCOPE_KEY)
        if identity is None:
            await send({"type": "websocket.close", "code": REVOKED})
            return
        connection = Connection(send, identity)
        try:
            code = await connection.accept()
            if code:
                await connection.close(code)
            else:
                await cls(connection).run(receive)
        finally:
            await connection.end()

    async def run(self, receive: Receive) -> None:
        """Answer frame after frame until the client disconnects or the socket is closed."""
        socket = self.connection.socket
        while not socket.is_closed:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            size = size_of(text if isinstance(text, str) else message.get("bytes") or b"")
            await self.connection.answer(size, partial(_parse, text))
            await socket.ready()


def _parse(text: object) -> dict[str, Any]:
    if not isinstance(text, str):
        raise BadFrame("Send text, not bytes.")
    with contextlib.suppress(ValueError, RecursionError):
        frame = json.loads(text)
        if isinstance(frame, dict):
            return frame
    raise BadFrame("Send a JSON object.")
