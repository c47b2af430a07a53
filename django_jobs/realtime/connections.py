"""A client's connection: the frames that it sends, their answers, and its life."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from django.db import Error

from django_jobs.realtime import hub, protocol
from django_jobs.realtime.hub import Hub
from django_jobs.realtime.identity import Identity
from django_jobs.realtime.protocol import MAX_BYTES, MAX_NAME, TOO_BIG, TRY_AGAIN, Room, parse_room
from django_jobs.realtime.rooms import FrameRefused, Join
from django_jobs.realtime.topics import Send, Socket, Subscription

# How much a client may send.


class TokenBucket:
    """A rate limit (the token bucket algorithm): ``rate`` tokens flow in each second, and it holds as many at most."""

    def __init__(self, rate: int) -> None:
        self._rate = float(rate)
        self._tokens = float(rate)
        self._filled_at = time.monotonic()

    def take(self, count: int = 1) -> bool:
        """Take so many tokens. Return False, and take none, if there are fewer."""
        now = time.monotonic()
        self._tokens = min(self._rate, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
        if self._tokens < count:
            return False
        self._tokens -= count
        return True


# One client's connection, whatever protocol it speaks: its user, its rooms, its limits, and the answers to its frames.
#
# An edge (``routing``, or a protocol of :mod:`django_jobs.contrib`) turns what its client sends into frames, and what
# the connection sends into its own protocol.


logger = logging.getLogger("django_jobs")

#: A frame counts as one more for each so many bytes, so that reading a client's frames costs little.
USUAL_BYTES: Final = 4_096
#: A replay counts as one more frame for each so many events, and the client's next frame is read so much later.
REPLAYED_A_FRAME: Final = 50
#: How many rooms a connection may join.
MAX_ROOMS: Final = 200
FRAMES_A_SECOND: Final = 20
#: How long each frame beyond the rate limit delays the next, so that a flood does not hold up other clients.
PENALTY_SECONDS: Final = 0.002

Frame = Mapping[str, Any]
Reply = Callable[[str], None]


class BadFrame(Exception):
    """The client's frame is not understood. The text says why."""


class Connection:
    """One connection. ``send`` gets what ASGI calls ``websocket.send`` and ``websocket.close``; wait for a slow client
    in it, and what waits meanwhile is bounded. The caller calls :meth:`accept` first and :meth:`end` last.
    """

    def __init__(self, send: Send, identity: Identity) -> None:
        self._hub = Hub.current()
        self.socket = Socket(send, identity, on_revoked=self._hub.unsubscribe, on_gap=self._hub.tell_anew)
        self._hub.presence.enter(self.socket, hub.RECHECK_SECONDS)
        self._writer = asyncio.create_task(self.socket.write())
        self._rate_limit = TokenBucket(FRAMES_A_SECOND)

    async def accept(self) -> int:
        """Find the user. Return the code to close the connection with, or 0 if it stays."""
        return await self._hub.presence.accept(self.socket)

    async def close(self, code: int) -> None:
        """Close the socket with this code, after the frames that wait."""
        self.socket.close(code)
        await self._writer

    def abort(self) -> None:
        """Send nothing more, and let nobody wait for the client: it is gone. Call :meth:`end` after it."""
        self.socket.is_closed = True
        self._writer.cancel()

    async def end(self) -> None:
        """Give back what the connection took, once it is closed or its client is gone."""
        self.abort()
        try:
            await asyncio.gather(self._writer, return_exceptions=True)
        finally:  # also when the server cancels this task
            await self._hub.leave(self.socket)

    async def answer(self, size: int, parse: Callable[[], Frame], reply: Reply | None = None) -> None:
        """Do what a frame of ``size`` bytes asks for. Do not call it again before it returns.

        ``parse`` returns the frame's ``action``, ``room`` and ``since``, or raises BadFrame; it is not called for a
        long frame beyond the rate limit. ``reply`` is called once with the answer, by default to send it to the client.
        """
        reply = reply or self.socket.put
        room: object = None
        is_within_rate = True
        try:
            if size > MAX_BYTES:
                reply(protocol.error_frame("limit", f"A frame has at most {MAX_BYTES} bytes."))
                self.socket.close(TOO_BIG)
                return
            is_within_rate = self._rate_limit.take(1 + size // USUAL_BYTES)
            if not is_within_rate and size > USUAL_BYTES:
                raise FrameRefused("limit", f"At most {FRAMES_A_SECOND} frames a second, fewer where they are long.")
            frame = parse()
            room = frame.get("room")
            if not is_within_rate:
                raise FrameRefused("limit", f"At most {FRAMES_A_SECOND} frames a second.")
            await self._act(frame, reply)
        except BadFrame as error:
            reply(protocol.error_frame("bad_request", str(error), room))
        except FrameRefused as error:
            reply(protocol.error_frame(error.code, error.detail, room))
        except Error as error:
            logger.warning("event=socket_closed error=%r", error)
            self.socket.close(TRY_AGAIN)
        if not is_within_rate:
            await asyncio.sleep(PENALTY_SECONDS)

    async def _act(self, frame: Frame, reply: Reply) -> None:
        match frame.get("action"):
            case "join":
                await self._join(frame.get("room"), frame.get("since"), reply)
            case "leave":
                self._leave(frame.get("room"), reply)
            case "ping":
                reply(protocol.pong())
            case _:
                raise BadFrame("The action is join, leave or ping.")

    async def _join(self, name: object, since: object, reply: Reply) -> None:
        room = _room(name)
        if since is not None and (type(since) is not int or not 0 <= since < 2**63):
            raise BadFrame("since is the id of an event.")
        if room.name not in self.socket.subscriptions and len(self.socket.subscriptions) >= MAX_ROOMS:
            raise FrameRefused("limit", f"At most {MAX_ROOMS} rooms a connection.")
        self._drop(room.name)  # a room that is joined again starts from the beginning
        target = await self._hub.authorizations.ask((self.socket.user, room))
        subscription = await self._hub.subscribe(self.socket, target)
        self.socket.subscriptions[room.name] = subscription
        try:
            join = await self._hub.joins.ask((target, since, self.socket.user))
        except BaseException:
            self._drop(room.name)
            raise
        await self._send(join, subscription, reply)

    async def _send(self, join: Join, subscription: Subscription, reply: Reply) -> None:
        """Send the answer to a join, and what was missed. Stop when the room is revoked meanwhile."""
        room, cursor = subscription.room, join.catch_up.cursor
        if self.socket.subscriptions.get(room) is not subscription:
            return
        reply(protocol.joined(room, cursor, resync=join.catch_up.needs_resync, **join.more))
        subscription.last_id = cursor
        for event in join.events:
            await self.socket.ready()
            if self.socket.subscriptions.get(room) is not subscription:
                return
            self.socket.put(event.text(room))
        if subscription.go_live(set(join.catch_up.log_ids)):
            self._hub.tell_anew(subscription)
        await asyncio.sleep(len(join.catch_up.log_ids) // REPLAYED_A_FRAME / FRAMES_A_SECOND)

    def _leave(self, name: object, reply: Reply) -> None:
        room = _room(name)
        self._drop(room.name)
        reply(protocol.left(room.name))

    def _drop(self, room: str) -> None:
        subscription = self.socket.subscriptions.pop(room, None)
        if subscription is not None:
            self._hub.unsubscribe(subscription)


def _room(name: object) -> Room:
    if not isinstance(name, str) or len(name) > MAX_NAME:
        raise BadFrame("room is a text such as org:ORG-2026-00001.")
    room = parse_room(name)
    if room is None:
        raise FrameRefused("not_found", "There is no such room.")
    return room
