"""What one client is sent: frames in order, without anybody waiting for a slow client. And how much it may send."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

from django_jobs.realtime import frames
from django_jobs.realtime.authorization import Target
from django_jobs.realtime.identity import Identity
from django_jobs.realtime.topics import Subscription

#: How many frames wait for a slow client. Beyond that they are dropped, and the client is told to read REST.
MAX_OUTBOX: Final = 2_000
#: While more frames than this wait, no frame of the client is read.
BUSY_OUTBOX: Final = 200

Send = Callable[[dict[str, Any]], Awaitable[None]]


class Socket:
    """The sending side of one connection, with its user and its subscriptions. It is the hub's ``Subscriber``."""

    def __init__(self, send: Send, identity: Identity, user: Any) -> None:
        self.identity = identity
        self.user = user
        self.recheck_at = 0.0
        #: By the room's name.
        self.subscriptions: dict[str, Subscription] = {}
        self.on_revoked: Callable[[Subscription], None] | None = None
        #: Called when what waited for the client in this room was dropped.
        self.on_gap: Callable[[Subscription], None] | None = None
        #: Called when the socket begins to close: what waits is sent before, which a slow client could put off.
        self.on_close: Callable[[], None] | None = None
        self._send = send
        self._outbox: deque[str] = deque()
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._close_code: int | None = None
        self.is_closed = False

    def put(self, text: str) -> None:
        """Queue a frame for the client. If MAX_OUTBOX frames wait, drop them and tell the client to read REST."""
        if self.is_closed:
            return
        if len(self._outbox) >= MAX_OUTBOX:
            self._start_over()
        self._outbox.append(text)
        self._filled.set()

    def targets(self) -> list[Target]:
        """Return what the socket listens to."""
        return [subscription.target for subscription in self.subscriptions.values()]

    def revoke(self, target: Target, reason: str = "forbidden") -> None:
        """End the subscription to this target and tell the client why."""
        subscription = self.subscriptions.pop(target.room, None)
        if subscription is not None:
            if self.on_revoked is not None:
                self.on_revoked(subscription)
            self.put(frames.left(target.room, reason))

    def close(self, code: int) -> None:
        """Close the socket with this code once the frames that wait are sent."""
        if self._close_code is None:
            self._close_code = code
            self._filled.set()
            if self.on_close is not None:
                self.on_close()

    async def ready(self) -> None:
        """Wait until at most BUSY_OUTBOX frames wait for the client, or the socket is closed."""
        while len(self._outbox) > BUSY_OUTBOX and not self.is_closed:
            self._emptied.clear()
            await self._emptied.wait()

    async def write(self) -> None:
        """Send what is put until the socket is closed. Run it as a task of its own."""
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
        """Drop what waits, and ask the client to read the present state of its rooms. That of a batch is sent anew."""
        self._outbox.clear()
        for room, subscription in self.subscriptions.items():
            if subscription.target.batch_pk is not None and self.on_gap is not None:
                self.on_gap(subscription)
            elif subscription.is_live:
                self._outbox.append(frames.joined(room, subscription.last_id, resync=True))


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
