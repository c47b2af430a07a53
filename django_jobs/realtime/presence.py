"""Seats of people at their sockets, and handshakes that are under way."""

from __future__ import annotations

import logging
import random
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db import Error

from django_jobs.realtime.authorization import recheck_all
from django_jobs.realtime.database_threads import Batcher, DatabaseThread, with_reconnect
from django_jobs.realtime.identity import Identity, active_user
from django_jobs.realtime.protocol import REVOKED, TOO_MANY, TRY_AGAIN
from django_jobs.realtime.topics import Subscriber

# The open sockets of an event loop: how many a user has, and whether their users may still listen.


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
        self._handshakes = Batcher(thread, complete)

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


# Sockets that just connected: who opens them.
#
# All that connect at the same moment are handled together, in one call in a database thread.


logger = logging.getLogger("django_jobs")


@dataclass(slots=True, eq=False)
class Handshake:
    """A socket that just connected. ``code`` is the code to close it with, or 0.

    What was found out is kept here, so that no ticket is used a second time when the rest is tried again.
    """

    identity: Identity
    #: Whether the ticket was looked up, with an answer or without.
    is_asked: bool = False
    user: Any = None
    code: int = 0
    error: Exception | None = None


def complete(handshakes: Sequence[Handshake]) -> list[Handshake | Exception]:
    """Find the users of these sockets. Return each handshake, or the error that it met.

    Equal identities are looked up once. An error is noted at its handshake, so that the others go on.
    """
    users: dict[Any, Any] = {}
    for handshake in handshakes:
        try:
            with_reconnect(_identify, handshake, users)
        except Error as error:
            logger.warning("event=socket_refused error=%s", type(error).__name__)
            handshake.code = TRY_AGAIN
        except Exception as error:  # noqa: BLE001  (raised where the socket waits)
            handshake.error = error
    return [handshake.error or handshake for handshake in handshakes]


def _identify(handshake: Handshake, users: dict[Any, Any]) -> None:
    was_asked, handshake.is_asked = handshake.is_asked, True
    redeemed = handshake.identity.redeemed()
    if redeemed is None:
        # Asked a second time because an answer was lost: the first time the ticket may have been good and used up.
        handshake.code = TRY_AGAIN if was_asked else REVOKED
        return
    handshake.identity = redeemed  # no ticket any more, which another try would look up again
    key = handshake.identity.key
    if key not in users:
        users[key] = active_user(handshake.identity)
    if isinstance(users[key], int):
        handshake.code = users[key]
    else:
        handshake.user = users[key]
