"""Sockets that just connected: who opens them.

All that connect at the same moment are handled together, in one call in a database thread.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import Error

from django_jobs.realtime.database_threads import with_reconnect
from django_jobs.realtime.frames import REVOKED, TRY_AGAIN
from django_jobs.realtime.identity import Identity, active_user

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
