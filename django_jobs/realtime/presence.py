"""The open sockets of an event loop: whether their users may still listen, and the seats that they take."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Sequence
from typing import Final

from django.db import Error

from django_jobs.engine.sockets import Seat, Seats
from django_jobs.realtime import handshakes
from django_jobs.realtime.authorization import recheck_all
from django_jobs.realtime.database_threads import Batcher, DatabaseThread
from django_jobs.realtime.frames import TOO_MANY
from django_jobs.realtime.handshakes import Handshake
from django_jobs.realtime.topics import Subscriber

#: How many sockets are checked at once. The others are checked in the next second.
SOCKETS_A_TICK: Final = 250


class Presence:
    """The sockets of one event loop. ``thread`` is the only one that uses the database for them, and their seats."""

    def __init__(self, thread: DatabaseThread) -> None:
        self.seats = Seats()
        self._thread = thread
        self._subscribers: set[Subscriber] = set()
        self._handshakes = Batcher(thread, self._complete)
        self._released = Batcher(thread, self._release)

    def __bool__(self) -> bool:
        return bool(self._subscribers)

    def enter(self, subscriber: Subscriber, pause: float) -> None:
        """Add a socket, whose first check is due before ``pause`` seconds have passed."""
        subscriber.recheck_at = time.monotonic() + pause * random.uniform(0.6, 1.0)  # noqa: S311
        self._subscribers.add(subscriber)

    def leave(self, subscriber: Subscriber) -> None:
        """Remove a socket. Its seat is given back by :meth:`give_back`."""
        self._subscribers.discard(subscriber)

    # -- seats -----------------------------------------------------------------------------------------------------

    async def accept(self, subscriber: Subscriber) -> int:
        """Give the socket its user and a seat. Return the code to close it with, or 0 if it stays."""
        answer = self._handshakes.ask(Handshake(subscriber.identity))
        try:
            handshake = await asyncio.shield(answer)
        except asyncio.CancelledError:  # the server stopped waiting, so no socket takes the seat
            answer.add_done_callback(self._give_up)
            raise
        subscriber.identity, subscriber.user, subscriber.seat = handshake.identity, handshake.user, handshake.seat
        return handshake.code or 0

    def _complete(self, waiting: Sequence[Handshake]) -> Sequence[Handshake | Exception]:
        return handshakes.complete(waiting, self.seats)

    def _give_up(self, answer: asyncio.Future[Handshake]) -> None:
        seat = None if answer.cancelled() or answer.exception() is not None else answer.result().seat
        if seat is not None:
            self.seats.give_back(seat)  # its row is freed with the next ones

    async def give_back(self, seat: Seat) -> None:
        """Give back the seat of a closed socket. Sockets that close at the same moment share one statement."""
        self.seats.give_back(seat)
        with contextlib.suppress(Error):  # tried again with the next seat; else the row expires
            await self._released.ask(seat)

    def _release(self, seats: Sequence[Seat]) -> Sequence[Seat]:
        self.seats.release()
        return seats

    async def renew(self) -> None:
        """Renew the seats of all sockets. Close the sockets whose seats other processes took over."""
        lost = await self._thread.read(self.seats.renew)
        for subscriber in [item for item in self._subscribers if item.seat in lost]:
            subscriber.close(TOO_MANY)

    # -- rights ----------------------------------------------------------------------------------------------------

    async def recheck(self, pause: float) -> None:
        """Check the rights of the sockets whose check is due. They are due again in ``pause`` seconds."""
        now = time.monotonic()
        # A socket without a user is still in its handshake.
        due = [item for item in self._subscribers if item.recheck_at <= now and item.user is not None]
        due = sorted(due, key=lambda item: item.recheck_at)[:SOCKETS_A_TICK]  # the longest due first, so none starves
        for subscriber in due:
            subscriber.recheck_at = now + pause * random.uniform(0.8, 1.0)  # noqa: S311
        if due:
            await self._recheck(due)

    async def _recheck(self, subscribers: Sequence[Subscriber]) -> None:
        questions = [(subscriber.identity, subscriber.targets()) for subscriber in subscribers]
        answers = await self._thread.read(recheck_all, questions)
        for subscriber, answer in zip(subscribers, answers, strict=True):
            if isinstance(answer, int):
                subscriber.close(answer)
                continue
            subscriber.user = answer.user  # with the rights that the user has now
            for target in subscriber.targets():
                if target in answer.asked and target not in answer.held:
                    subscriber.revoke(target)
