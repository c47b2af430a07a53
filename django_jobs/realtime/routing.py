"""The websocket route, for the host's ``URLRouter(websocket_urlpatterns)``, and what serves a socket there."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, cast

from django.urls import path

from django_jobs.realtime.auth import PROTOCOL, SCOPE_KEY
from django_jobs.realtime.connections import BadFrame, Connection
from django_jobs.realtime.protocol import REVOKED, size_of
from django_jobs.realtime.topics import Send

Receive = Callable[[], Awaitable[dict[str, Any]]]


async def serve(scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
    """Serve one websocket inside :func:`~django_jobs.realtime.auth.JobsAuthMiddlewareStack`."""
    await receive()  # the handshake
    protocol = PROTOCOL if PROTOCOL in (scope.get("subprotocols") or ()) else None
    await send({"type": "websocket.accept", "subprotocol": protocol})
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
            await _answer_frames(connection, receive)
    finally:
        await connection.end()


async def _answer_frames(connection: Connection, receive: Receive) -> None:
    """Answer frame after frame until the client disconnects or the socket is closed."""
    while not connection.socket.is_closed:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        text = message.get("text")
        size = size_of(text if isinstance(text, str) else message.get("bytes") or b"")
        await connection.answer(size, partial(_parse, text))
        await connection.socket.ready()


def _parse(text: object) -> dict[str, Any]:
    if not isinstance(text, str):
        raise BadFrame("Send text, not bytes.")
    with contextlib.suppress(ValueError, RecursionError):
        frame = json.loads(text)
        if isinstance(frame, dict):
            return frame
    raise BadFrame("Send a JSON object.")


websocket_urlpatterns: list[Any] = [path("ws/jobs/", cast("Any", serve))]
