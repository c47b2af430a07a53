"""The open sockets of an event loop: how many a user has, and whether their users may still listen."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from django_jobs.realtime import handshakes
from django_jobs.realtime.authorization import recheck_all
from django_jobs.realtime.database_threads import Batcher, DatabaseThread
from django_jobs.realtime.frames import TOO_MANY
from django_jobs.realtime.handshakes import Handshake
from django_jobs.realtime.topics import Subscriber

#: How many sockets a user may have open at once in a server process.
SOCKETS_A_USER: Final = 20
#: How many sockets are checked at once. The others are checked in the next second.
SOCKETS_A_TICK: Final = 250


class Presence:
    """The sockets of one event loop. ``thread`` is the only one that uses the database for them."""

    def __init__(self, thread: DatabaseThread) -> None:
        self._thread = thread
        self._subscribers: set[Subscriber] = set()
        #: Those that were let in, by their users' keys.
        self._let_in: defaultdict[Any, set[Subscriber]] = defaultdict(set)
        self._handshakes = Batcher(thread, handshakes.complete)

    def __bool__(self) -> bool:
        return bool(self._subscribers)

    def enter(self, subscriber: Subscriber, pause: float) -> None:
        """Add a socket, whose first check is due before ``pause`` seconds have passed."""
        subscriber.recheck_at = time.monotonic() + pause * random.uniform(0.6, 1.0)  # noqa: S311
        self._subscribers.add(subscriber)

    def leave(self, subscriber: Subscriber) -> None:
        """Remove a socket."""
        self._subscribers.discard(subscriber)
        if subscriber.user is not None:
            self._let_in[subscriber.user.pk].discard(subscriber)
            if not self._let_in[subscriber.user.pk]:
                del self._let_in[subscriber.user.pk]

    async def accept(self, subscriber: Subscriber) -> int:
        """Give the socket its user. Return the code to close it with, or 0 if it stays."""
        handshake = await self._handshakes.ask(Handshake(subscriber.identity))
        subscriber.identity, subscriber.user = handshake.identity, handshake.user
        if handshake.code:
            return handshake.code
        of_user = self._let_in[subscriber.user.pk]
        if len(of_user) >= SOCKETS_A_USER:
            return TOO_MANY
        of_user.add(subscriber)
        return 0

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
