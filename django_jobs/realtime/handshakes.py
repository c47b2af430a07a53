"""Sockets that just connected: who opens them, and whether the user may have one more.

All that connect at the same moment are handled together, in one call in a database thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import Error

from django_jobs.engine.sockets import Seat, Seats
from django_jobs.realtime.database_threads import with_reconnect
from django_jobs.realtime.frames import REVOKED, TOO_MANY, TRY_AGAIN
from django_jobs.realtime.identity import Identity, active_user

logger = logging.getLogger("django_jobs")


@dataclass(slots=True, eq=False)
class Handshake:
    """A socket that just connected. ``code`` is the code to close it with, 0 if it stays, None until that is known.

    What was found out is kept here, so that no ticket is used a second time when the rest is tried again.
    """

    identity: Identity
    #: Whether the ticket was looked up, with an answer or without.
    is_asked: bool = False
    user: Any = None
    seat: Seat | None = None
    code: int | None = None
    error: Exception | None = None

    @property
    def needs_seat(self) -> bool:
        """Return whether only the seat is missing: the user is known, and neither a code nor an error is."""
        return self.code is None and self.error is None


def complete(handshakes: Sequence[Handshake], seats: Seats) -> list[Handshake | Exception]:
    """Find the users of these sockets and give each a seat. Return each handshake, or the error that it met.

    Equal identities are looked up once. A socket that connects alone takes two statements.
    """
    users: dict[Any, Any] = {}
    for handshake in handshakes:
        _try(handshake, _identify, handshake, users)
    known = [handshake for handshake in handshakes if handshake.needs_seat]
    try:
        with_reconnect(_seat, known, seats)
    except Exception:  # noqa: BLE001  (one of them is the cause: the others get their seats)
        for handshake in known:
            _try(handshake, _seat, [handshake], seats)
    return [handshake.error or handshake for handshake in handshakes]


def _try(handshake: Handshake, function: Callable[..., None], *args: Any) -> None:
    """Call the function. Its error is noted at this handshake, so that the others go on."""
    try:
        with_reconnect(function, *args)
    except Error as error:
        logger.warning("event=socket_refused error=%s", type(error).__name__)
        handshake.code = TRY_AGAIN
    except Exception as error:  # noqa: BLE001  (raised where the socket waits)
        handshake.error = error


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


def _seat(handshakes: Sequence[Handshake], seats: Seats) -> None:
    found = seats.take_all([handshake.user.pk for handshake in handshakes])
    for handshake, seat in zip(handshakes, found, strict=True):
        handshake.seat = seat
        handshake.code = TOO_MANY if seat is None else 0
