"""The open transports of a process: websockets and long polls, as the library serves them."""

from __future__ import annotations

import asyncio
import logging
from contextvars import ContextVar
from typing import Any, Final

import engineio

from django_jobs.contrib.socketio.clients import Client, Scope
from django_jobs.realtime.protocol import MAX_BYTES

#: The scope of the request that brought a packet.
request_scope: ContextVar[Scope] = ContextVar("request_scope")
#: How many clients may be about to say who they are. For one more, the first of them has to go, so that nobody who
#: opens many keeps others out.
MAX_UNKNOWN: Final = 10_000
#: Packets that wait in a transport. More wait in the client's outbox, which is bounded and tells what it dropped.
USUAL_PACKETS: Final = 100
#: Beyond this, a transport's own packets (pings, answers to an upgrade) are dropped.
MAX_PACKETS: Final = 500
#: How long a client may take to read the end of its transport.
END_SECONDS: Final = 5.0


class PacketQueue(asyncio.Queue[Any]):
    """A transport's queue. It is bounded: a client could make the library put one packet after the other into it."""

    async def put(self, item: Any) -> None:
        """Add a packet, or drop it if MAX_PACKETS wait. None, which ends the transport, is never dropped."""
        if item is None or self.qsize() < MAX_PACKETS:
            await super().put(item)

    def release(self) -> None:
        """Drop what waits, so that nobody waits until it is sent, and end the writer of a websocket.

        The library waits so for clients that read nothing more, and leaves them their websockets until they go.
        """
        while not self.empty():
            self.get_nowait()
            self.task_done()
        self.put_nowait(None)


class SocketServer:
    """The transports and their clients."""

    def __init__(self) -> None:
        self._clients: dict[str, Client] = {}
        #: Those of them that have not said who they are, in the order of their coming.
        self._unknown: dict[str, Client] = {}
        self._ending: set[asyncio.Task[None]] = set()
        # Pages of all origins may connect; whose session counts is asked in `credentials`.
        self.engine: Any = engineio.AsyncServer(
            async_mode="asgi",
            async_handlers=False,  # a client's packets one after the other, so that a flood waits in its own line
            cors_allowed_origins="*",
            cors_credentials=False,  # `application` allows them to pages that may use a session
            max_http_buffer_size=2 * MAX_BYTES,
            logger=_silent_logger(),
        )
        self.engine.create_queue = PacketQueue
        self.engine.on("connect", self._opened)
        self.engine.on("message", self._received)
        self.engine.on("disconnect", self._closed)

    async def _opened(self, sid: str, _environ: object) -> None:
        """Note a new transport."""
        if len(self._unknown) >= MAX_UNKNOWN:
            first = self._unknown.pop(next(iter(self._unknown)))
            if not first.is_known:  # else it is just being let in
                first.give_way()
        client = Client(EngineTransport(self.engine, sid), self.engine.generate_id())
        self._clients[sid] = self._unknown[sid] = client

    async def _received(self, sid: str, data: Any) -> None:
        client = self._clients.get(sid)
        if client is not None:
            await client.receive(data if isinstance(data, str | bytes) else "", request_scope.get())
            if client.is_known:
                self._unknown.pop(sid, None)

    async def _closed(self, sid: str, _reason: str) -> None:
        transport = self.engine.sockets.get(sid)
        if transport is not None:
            asyncio.get_running_loop().call_later(END_SECONDS, transport.queue.release)
        self._unknown.pop(sid, None)
        client = self._clients.pop(sid, None)
        task = None if client is None else client.gone()
        if task is not None:
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def handle(self, scope: Scope, receive: Any, send: Any) -> None:
        """Serve a request or a websocket.

        Wait for the clients that end meanwhile, as a web server that stops waits for its requests.
        """
        request_scope.set(scope)
        await self.engine.handle_request(scope, receive, send)
        if self._ending:
            await asyncio.wait(self._ending)


def _silent_logger() -> logging.Logger:
    """Return a logger for the library, which would log what clients send, tokens included, and fill the log."""
    logger = logging.getLogger(f"{__name__}.engineio")
    logger.setLevel(logging.CRITICAL + 1)
    return logger


class EngineTransport:
    """One transport of the library."""

    def __init__(self, engine: Any, sid: str) -> None:
        self._engine = engine
        self._sid = sid

    async def send(self, packet: str) -> None:
        """Send a packet, once fewer than USUAL_PACKETS wait."""
        while (socket := self._engine.sockets.get(self._sid)) and socket.queue.qsize() >= USUAL_PACKETS:
            await socket.queue.join()
        if socket is not None:
            await self._engine.send(self._sid, packet)

    async def send_at_once(self, packet: str) -> None:
        """Send a packet without waiting; drop it if MAX_PACKETS wait."""
        if self._sid in self._engine.sockets:
            await self._engine.send(self._sid, packet)

    async def hang_up(self) -> None:
        """End the transport, whether the client reads or not."""
        socket = self._engine.sockets.get(self._sid)
        if socket is None:
            return
        try:
            await self._engine.disconnect(self._sid)
        finally:
            socket.queue.release()
