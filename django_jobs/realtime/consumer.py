"""The websocket endpoint: reads a client's frames and answers them. What happens to jobs comes from the hub."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from django.db import Error

from django_jobs.realtime import messages
from django_jobs.realtime.admission import REVOKED, TRY_AGAIN, Refused
from django_jobs.realtime.auth import PROTOCOL, SCOPE_KEY
from django_jobs.realtime.frames import MAX_BYTES
from django_jobs.realtime.hub import Hub
from django_jobs.realtime.rooms import MAX_NAME, Room, parse_room
from django_jobs.realtime.sockets import Pace, Send, Socket

logger = logging.getLogger("django_jobs")

#: A frame of more bytes counts as one more for each so many, so that reading a client's frames costs little.
USUAL_BYTES: Final = 4_096
MAX_ROOMS: Final = 200
FRAMES_A_SECOND: Final = 20
#: For each frame too many, so that a flood of them leaves the others their turn.
PENALTY_SECONDS: Final = 0.002
#: "Message too big" (RFC 6455): the client sends what no frame of ours could be an answer to.
TOO_BIG: Final = 1009

Receive = Callable[[], Awaitable[dict[str, Any]]]


class BadFrame(Exception):
    """What the client sent is not understood."""


class LargeFrame(Exception):
    """The client sent more than a frame may hold."""


class JobsConsumer:
    """One connection. The class is an ASGI application, to be used through :meth:`as_asgi`."""

    def __init__(self, socket: Socket, hub: Hub) -> None:
        self.socket = socket
        self.hub = hub
        self._pace = Pace(FRAMES_A_SECOND)
        socket.on_revoked = hub.unsubscribe

    @classmethod
    def as_asgi(cls) -> Callable[[Mapping[str, Any], Receive, Send], Awaitable[None]]:
        """The application for a URL route, inside of :func:`~django_jobs.realtime.auth.JobsAuthMiddlewareStack`."""

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
            if await cls._greet(socket, hub):
                await cls(socket, hub).run(receive)
            else:
                await writer
        finally:
            socket.is_closed = True
            writer.cancel()
            try:
                await asyncio.gather(writer, return_exceptions=True)
                if socket.place is not None:
                    await hub.attendance.places.give_back(socket.place)
            finally:  # also where the server does not wait for that
                await hub.leave(socket, list(socket.subscriptions.values()))

    @staticmethod
    async def _greet(socket: Socket, hub: Hub) -> bool:
        """Find out who this is. Somebody unknown is told to leave, and so is a user with too many sockets."""
        code = await hub.attendance.let_in(socket)
        if code:
            socket.close(code)
        return not code

    async def run(self, receive: Receive) -> None:
        """Answer frame after frame until the client or we hang up."""
        while not self.socket.is_closed:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            await self._answer(message)
            await self.socket.ready()

    async def _answer(self, message: Mapping[str, Any]) -> None:
        room: object = None
        is_paced = True
        try:
            size = _size(message)
            is_paced = self._pace.allows(1 + size // USUAL_BYTES)
            if not is_paced and size > USUAL_BYTES:
                raise Refused("limit", f"At most {FRAMES_A_SECOND} frames a second, fewer where they are long.")
            frame = _parse(message)
            room = frame.get("room")
            if not is_paced:
                raise Refused("limit", f"At most {FRAMES_A_SECOND} frames a second.")
            await self._act(frame)
        except BadFrame as error:
            self.socket.put_error("bad_request", str(error), room)
        except LargeFrame:
            self.socket.put_error("limit", f"A frame has at most {MAX_BYTES} bytes.")
            self.socket.close(TOO_BIG)
        except Refused as error:
            self.socket.put_error(error.code, error.detail, room)
        except Error as error:
            logger.warning("event=socket_closed error=%r", error)
            self.socket.close(TRY_AGAIN)
        if not is_paced:
            await asyncio.sleep(PENALTY_SECONDS)

    async def _act(self, frame: Mapping[str, Any]) -> None:
        match frame.get("action"):
            case "join":
                await self._join(frame.get("room"), frame.get("since"))
            case "leave":
                self._leave(frame.get("room"))
            case "ping":
                self.socket.put_message({"event": "pong"})
            case _:
                raise BadFrame("The action is join, leave or ping.")

    async def _join(self, name: object, since: object) -> None:
        room = _room(name)
        if since is not None and (type(since) is not int or not 0 <= since < 2**63):
            raise BadFrame("since is the id of an event.")
        if room.name not in self.socket.subscriptions and len(self.socket.subscriptions) >= MAX_ROOMS:
            raise Refused("limit", f"At most {MAX_ROOMS} rooms a connection.")
        self._drop(room.name)  # joined once more: it starts from the beginning
        target = await self.hub.admissions.ask((self.socket.user, room))
        subscription = await self.hub.subscribe(self.socket, target)
        self.socket.subscriptions[room.name] = subscription
        try:
            found = await self.hub.joins.ask((target, since, self.socket.user))
        except BaseException:
            self._drop(room.name)
            raise
        if self.socket.subscriptions.get(room.name) is not subscription:
            return  # revoked meanwhile
        cursor = found.replay.cursor
        self.socket.put(messages.joined(room.name, cursor, resync=found.replay.needs_resync, **found.more))
        subscription.last_id = cursor
        for event in found.events:
            await self.socket.ready()
            if self.socket.subscriptions.get(room.name) is not subscription:
                return  # revoked meanwhile
            self.socket.put(event.text(room.name))
        subscription.go_live(set(found.replay.log_ids))

    def _leave(self, name: object) -> None:
        room = _room(name)
        self._drop(room.name)
        self.socket.put_message({"event": "left", "room": room.name})

    def _drop(self, room: str) -> None:
        subscription = self.socket.subscriptions.pop(room, None)
        if subscription is not None:
            self.hub.unsubscribe(subscription)


def _size(message: Mapping[str, Any]) -> int:
    """The bytes of a frame. Raises LargeFrame for more than there may be."""
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
