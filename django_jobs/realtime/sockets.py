"""One client's socket: frames in, judged; frames out, in order, without anybody waiting for a slow client."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

from django_jobs.engine.sockets.open_sockets import Place
from django_jobs.realtime import messages
from django_jobs.realtime.admission import Target
from django_jobs.realtime.identity import Identity
from django_jobs.realtime.topics import Subscription

#: Frames that wait for a slow client; then they are dropped and the client is told to read REST.
MAX_OUTBOX: Final = 2_000
#: While so many wait, no frame of this client is taken.
BUSY_OUTBOX: Final = 200

Send = Callable[[dict[str, Any]], Awaitable[None]]


class Socket:
    """The way to one client."""

    def __init__(self, send: Send, identity: Identity, user: Any) -> None:
        self.identity = identity
        self.user = user
        self.place: Place | None = None
        self.recheck_at = 0.0
        self.subscriptions: dict[str, Subscription] = {}
        self.on_revoked: Callable[[Subscription], None] | None = None
        self._send = send
        self._outbox: deque[str] = deque()
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._close_code: int | None = None
        self.is_closed = False

    # -- called by the hub -----------------------------------------------------------------------------------------

    def put(self, text: str) -> None:
        if self.is_closed:
            return
        if len(self._outbox) >= MAX_OUTBOX:
            self._start_over()
        self._outbox.append(text)
        self._filled.set()

    def targets(self) -> list[Target]:
        return [subscription.target for subscription in self.subscriptions.values()]

    def revoke(self, target: Target, reason: str = "forbidden") -> None:
        subscription = self.subscriptions.pop(target.room, None)
        if subscription is not None:
            if self.on_revoked is not None:
                self.on_revoked(subscription)
            self.put_message({"event": "left", "room": target.room, "reason": reason})

    def close(self, code: int) -> None:
        """Send what waits, then close."""
        if self._close_code is None:
            self._close_code = code
            self._filled.set()

    # -- out -------------------------------------------------------------------------------------------------------

    def put_message(self, message: dict[str, Any]) -> None:
        self.put(json.dumps(message))

    def put_error(self, code: str, detail: str, room: object = None) -> None:
        shown = room if isinstance(room, str) and len(room) <= messages.MAX_SHOWN else None
        self.put_message({"event": "error", "code": code, "room": shown, "detail": detail})

    async def ready(self) -> None:
        """Until the client has taken enough of what it was sent."""
        while len(self._outbox) > BUSY_OUTBOX and not self.is_closed:
            self._emptied.clear()
            await self._emptied.wait()

    async def write(self) -> None:
        """Send what is put, until the end; a task of its own."""
        try:
            while not self.is_closed:
                await self._filled.wait()
                self._filled.clear()
                while self._outbox:
                    await self._send({"type": "websocket.send", "text": self._outbox.popleft()})
                self._emptied.set()
                if self._close_code is not None:
                    self.is_closed = True
                    await self._send({"type": "websocket.close", "code": self._close_code})
        finally:
            self.is_closed = True
            self._emptied.set()

    def _start_over(self) -> None:
        """The client takes less than happens: it is told to read the present instead of the past."""
        self._outbox.clear()
        for room, subscription in self.subscriptions.items():
            if subscription.is_live:
                self._outbox.append(messages.joined(room, subscription.last_id, resync=True))


class Pace:
    """At most so many a second, and as many at once."""

    def __init__(self, rate: int) -> None:
        self._rate = float(rate)
        self._left = float(rate)
        self._at = time.monotonic()

    def allows(self, count: int = 1) -> bool:
        """Whether so many more are within the rate; they count only then."""
        now = time.monotonic()
        self._left = min(self._rate, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < count:
            return False
        self._left -= count
        return True
