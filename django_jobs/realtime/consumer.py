"""The websocket endpoint: reads a client's frames and answers them. What happens to jobs comes from the hub."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from django.db import Error

from django_jobs.realtime import messages, replay
from django_jobs.realtime.admission import Refused, Target, admit
from django_jobs.realtime.auth import PROTOCOL, SCOPE_KEY
from django_jobs.realtime.hub import REVOKED, Hub
from django_jobs.realtime.replay import Replay
from django_jobs.realtime.rooms import MAX_NAME, Room, parse_room
from django_jobs.realtime.sockets import Pace, Send, Socket

logger = logging.getLogger("django_jobs")

MAX_FRAME: Final = 4_096
MAX_ROOMS: Final = 200
FRAMES_A_SECOND: Final = 20
#: For each frame too many, so that a flood of them leaves the others their turn.
PENALTY_SECONDS: Final = 0.002
#: "Try again later" (RFC 6455's registry): the database does not answer.
TRY_AGAIN: Final = 1013

Receive = Callable[[], Awaitable[dict[str, Any]]]


class BadFrame(Exception):
    """What the client sent is not understood."""


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
            await asyncio.gather(writer, return_exceptions=True)
            await hub.leave(socket, list(socket.subscriptions.values()))

    @staticmethod
    async def _greet(socket: Socket, hub: Hub) -> bool:
        """Find out who this is; the door is shut on nobody in particular."""
        try:
            socket.user = await hub.doors.read(socket.identity.user)
        except Error as error:
            logger.warning("event=socket_refused error=%r", error)
            socket.close(TRY_AGAIN)
            return False
        if socket.user is None:
            socket.close(REVOKED)
            return False
        socket.identity = socket.identity.lasting(socket.user)
        return True

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
        try:
            frame = _parse(message)
            room = frame.get("room")
            if not self._pace.allows():
                self.socket.put_error("limit", f"At most {FRAMES_A_SECOND} frames a second.", room)
                await asyncio.sleep(PENALTY_SECONDS)
                return
            await self._act(frame)
        except BadFrame as error:
            self.socket.put_error("bad_request", str(error), room)
            if not self._pace.allows():
                await asyncio.sleep(PENALTY_SECONDS)
        except Refused as error:
            self.socket.put_error(error.code, error.detail, room)
        except Error as error:
            logger.warning("event=socket_closed error=%r", error)
            self.socket.close(TRY_AGAIN)

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
        target = await self.hub.doors.read(admit, self.socket.user, room)
        subscription = await self.hub.subscribe(self.socket.put, target)
        self.socket.subscriptions[room.name] = subscription
        try:
            found, events = await self.hub.doors.read(_read_replay, target, since)
        except BaseException:
            self._drop(room.name)
            raise
        if self.socket.subscriptions.get(room.name) is not subscription:
            return  # revoked meanwhile
        self.socket.put(messages.joined(room.name, found.cursor, resync=found.needs_resync))
        subscription.last_id = found.cursor
        for event in events:
            await self.socket.ready()
            if self.socket.subscriptions.get(room.name) is not subscription:
                return  # revoked meanwhile
            self.socket.put(event.text(room.name))
        subscription.go_live(set(found.log_ids))

    def _leave(self, name: object) -> None:
        room = _room(name)
        self._drop(room.name)
        self.socket.put_message({"event": "left", "room": room.name})

    def _drop(self, room: str) -> None:
        subscription = self.socket.subscriptions.pop(room, None)
        if subscription is not None:
            self.hub.unsubscribe(subscription)


def _parse(message: Mapping[str, Any]) -> dict[str, Any]:
    text = message.get("text")
    if not isinstance(text, str):
        raise BadFrame("Send text, not bytes.")
    if len(text) > MAX_FRAME:
        raise BadFrame(f"A frame has at most {MAX_FRAME} characters.")
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


def _read_replay(target: Target, since: int | None) -> tuple[Replay, list[messages.Event]]:
    if target.organization_pk is None:
        found = replay.replay_all(since)
    elif target.job_pk is None:
        found = replay.replay_organization(target.organization_pk, since)
    else:
        found = replay.replay_job(target.job_pk, since)
    return found, messages.status_events(found.log_ids)
