"""The sockets of an event loop: whether their users may still be here, and how many sockets a user has."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from typing import Final

from django_jobs.realtime.admission import standing
from django_jobs.realtime.entrance import Visitor, let_in
from django_jobs.realtime.places import TOO_MANY, SocketPlaces
from django_jobs.realtime.readers import Reader, Together
from django_jobs.realtime.topics import Listener

#: So many are checked at once; the others follow a moment later.
SOCKETS_A_TICK: Final = 250


class Attendance:
    """Who is here. ``reader`` asks the database."""

    def __init__(self, reader: Reader) -> None:
        self.places = SocketPlaces(reader)
        self._reader = reader
        self._listeners: set[Listener] = set()
        self._visitors = Together(reader, self._let_in)

    def __bool__(self) -> bool:
        return bool(self._listeners)

    def enter(self, listener: Listener, pause: float) -> None:
        """Add a socket, whose first check is due before ``pause`` seconds have passed."""
        listener.recheck_at = time.monotonic() + pause * random.uniform(0.6, 1.0)  # noqa: S311
        self._listeners.add(listener)

    def leave(self, listener: Listener) -> None:
        self._listeners.discard(listener)

    async def let_in(self, listener: Listener) -> int:
        """Give the listener its user and a place; the code with which it is to be closed, or 0."""
        answer = self._visitors.ask(Visitor(listener.identity))
        try:
            visitor = await asyncio.shield(answer)
        except asyncio.CancelledError:  # the server does not wait any longer: nobody has the place
            answer.add_done_callback(self._give_up)
            raise
        listener.identity, listener.user, listener.place = visitor.identity, visitor.user, visitor.place
        return visitor.code or 0

    def _let_in(self, visitors: Sequence[Visitor]) -> Sequence[Visitor | Exception]:
        return let_in(visitors, self.places.held)

    def _give_up(self, answer: asyncio.Future[Visitor]) -> None:
        place = None if answer.cancelled() or answer.exception() is not None else answer.result().place
        if place is not None:
            self.places.held.give_back(place)  # freed with the next ones

    async def recheck(self, pause: float) -> None:
        """Ask who may still listen, of those whose check is due; they are due again in ``pause`` seconds."""
        now = time.monotonic()
        # One without a user is just being asked who it is.
        due = [item for item in self._listeners if item.recheck_at <= now and item.user is not None]
        due = sorted(due, key=lambda item: item.recheck_at)[:SOCKETS_A_TICK]  # else some might never have a turn
        for listener in due:
            listener.recheck_at = now + pause * random.uniform(0.8, 1.0)  # noqa: S311
        if due:
            await self._recheck(due)

    async def _recheck(self, listeners: Sequence[Listener]) -> None:
        questions = [(listener.identity, listener.targets()) for listener in listeners]
        for listener, answer in zip(listeners, await self._reader.read(standing, questions), strict=True):
            if isinstance(answer, int):
                listener.close(answer)
                continue
            listener.user = answer.user  # with the rights that it has now
            for target in listener.targets():
                if target in answer.asked and target not in answer.held:
                    listener.revoke(target)

    async def renew(self) -> None:
        """Say that these sockets are open; close those whose places others have taken over."""
        lost = await self.places.renew()
        for listener in [item for item in self._listeners if item.place in lost]:
            listener.close(TOO_MANY)
