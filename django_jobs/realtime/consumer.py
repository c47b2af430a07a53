"""The websocket endpoint: it reads a client's frames and answers them. Events reach the client from the hub."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from django.db import Error

from django_jobs.realtime import frames
from django_jobs.realtime.auth import PROTOCOL, SCOPE_KEY
from django_jobs.realtime.authorization import Refused
from django_jobs.realtime.frames import MAX_BYTES, REVOKED, TOO_BIG, TRY_AGAIN
from django_jobs.realtime.hub import Hub
from django_jobs.realtime.joins import Join
from django_jobs.realtime.rooms import MAX_NAME, Room, parse_room
from django_jobs.realtime.sockets import Send, Socket, TokenBucket
from django_jobs.realtime.topics import Subscription

logger = logging.getLogger("django_jobs")

#: A frame counts as one more for each so many bytes, so that reading a client's frames costs little.
USUAL_BYTES: Final = 4_096
#: How many rooms a connection may join.
MAX_ROOMS: Final = 200
FRAMES_A_SECOND: Final = 20
#: How long each frame beyond the rate limit delays the next, so that a flood does not hold up other clients.
PENALTY_SECONDS: Final = 0.002

Receive = Callable[[], Awaitable[dict[str, Any]]]


class BadFrame(Exception):
    """The client's frame is not understood. The text says why."""


class LargeFrame(Exception):
    """The client's frame has more than MAX_BYTES."""


class JobsConsumer:
    """One connection. The class is an ASGI application, to be used through :meth:`as_asgi`."""

    def __init__(self, socket: Socket, hub: Hub) -> None:
        self.socket = socket
        self.hub = hub
        self._rate_limit = TokenBucket(FRAMES_A_SECOND)
        socket.on_revoked = hub.unsubscribe
        socket.on_gap = hub.tell_anew

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
        socket = Socket(send, identity, None)
        hub = Hub.enter(socket)
        writer = asyncio.create_task(socket.write())
        try:
            code = await hub.presence.accept(socket)
            if code:
                socket.close(code)
                await writer
            else:
                await cls(socket, hub).run(receive)
        finally:
            socket.is_closed = True
            writer.cancel()
            try:
                await asyncio.gather(writer, return_exceptions=True)
                if socket.seat is not None:
                    await hub.presence.give_back(socket.seat)
            finally:  # also when the server cancels this task
                await hub.leave(socket, list(socket.subscriptions.values()))

    async def run(self, receive: Receive) -> None:
        """Answer frame after frame until the client disconnects or the socket is closed."""
        while not self.socket.is_closed:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            await self._answer(message)
            await self.socket.ready()

    async def _answer(self, message: Mapping[str, Any]) -> None:
        room: object = None
        is_within_rate = True
        try:
            size = _size(message)
            is_within_rate = self._rate_limit.take(1 + size // USUAL_BYTES)
            if not is_within_rate and size > USUAL_BYTES:
                raise Refused("limit", f"At most {FRAMES_A_SECOND} frames a second, fewer where they are long.")
            frame = _parse(message)
            room = frame.get("room")
            if not is_within_rate:
                raise Refused("limit", f"At most {FRAMES_A_SECOND} frames a second.")
            await self._act(frame)
        except BadFrame as error:
            self.socket.put(frames.error("bad_request", str(error), room))
        except LargeFrame:
            self.socket.put(frames.error("limit", f"A frame has at most {MAX_BYTES} bytes."))
            self.socket.close(TOO_BIG)
        except Refused as error:
            self.socket.put(frames.error(error.code, error.detail, room))
        except Error as error:
            logger.warning("event=socket_closed error=%r", error)
            self.socket.close(TRY_AGAIN)
        if not is_within_rate:
            await asyncio.sleep(PENALTY_SECONDS)

    async def _act(self, frame: Mapping[str, Any]) -> None:
        match frame.get("action"):
            case "join":
                await self._join(frame.get("room"), frame.get("since"))
            case "leave":
                self._leave(frame.get("room"))
            case "ping":
                self.socket.put(frames.pong())
            case _:
                raise BadFrame("The action is join, leave or ping.")

    async def _join(self, name: object, since: object) -> None:
        room = _room(name)
        if since is not None and (type(since) is not int or not 0 <= since < 2**63):
            raise BadFrame("since is the id of an event.")
        if room.name not in self.socket.subscriptions and len(self.socket.subscriptions) >= MAX_ROOMS:
            raise Refused("limit", f"At most {MAX_ROOMS} rooms a connection.")
        self._drop(room.name)  # a room that is joined again starts from the beginning
        target = await self.hub.authorizations.ask((self.socket.user, room))
        subscription = await self.hub.subscribe(self.socket, target)
        self.socket.subscriptions[room.name] = subscription
        try:
            join = await self.hub.joins.ask((target, since, self.socket.user))
        except BaseException:
            self._drop(room.name)
            raise
        await self._send(join, subscription)

    async def _send(self, join: Join, subscription: Subscription) -> None:
        """Send the answer to a join, and what was missed. Stop when the room is revoked meanwhile."""
        room, cursor = subscription.room, join.catch_up.cursor
        if self.socket.subscriptions.get(room) is not subscription:
            return
        self.socket.put(frames.joined(room, cursor, resync=join.catch_up.needs_resync, **join.more))
        subscription.last_id = cursor
        for event in join.events:
            await self.socket.ready()
            if self.socket.subscriptions.get(room) is not subscription:
                return
            self.socket.put(event.text(room))
        if subscription.go_live(set(join.catch_up.log_ids)):
            self.hub.tell_anew(subscription)

    def _leave(self, name: object) -> None:
        room = _room(name)
        self._drop(room.name)
        self.socket.put(frames.left(room.name))

    def _drop(self, room: str) -> None:
        subscription = self.socket.subscriptions.pop(room, None)
        if subscription is not None:
            self.hub.unsubscribe(subscription)


def _size(message: Mapping[str, Any]) -> int:
    """Return the size of a frame in bytes. Raises LargeFrame above MAX_BYTES."""
    text = message.get("text")
    payload = text if isinstance(text, str) else message.get("bytes") or b""
    size = len(payload)
    if isinstance(payload, str) and size <= MAX_BYTES:
        size = len(payload.encode(errors="surrogatepass"))
    if size > MAX_BYTES:
        raise LargeFrame
    return size


def _parse(message: Mapping[str, Any]) -> dict[str, Any]:
    text = message.get("text")
    if not isinstance(text, str):
        raise BadFrame("Send text, not bytes.")
    with contextlib.suppress(ValueError, RecursionError):
        frame = json.loads(text)
        if isinstance(frame, dict):
            return frame
    raise BadFrame("Send a JSON object.")


def _room(name: object) -> Room:
    if not isinstance(name, str) or len(name) > MAX_NAME:
        raise BadFrame("room is a text such as org:ORG-2026-00001.")
    room = parse_room(name)
    if room is None:
        raise Refused("not_found", "There is no such room.")
    return room
