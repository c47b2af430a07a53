"""Who wants in: found out together for all who come at the same moment, in one visit to the database."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import Error

from django_jobs.engine.sockets.open_sockets import Place, Places
from django_jobs.realtime.admission import REVOKED, TRY_AGAIN, user_of
from django_jobs.realtime.identity import Identity
from django_jobs.realtime.places import TOO_MANY
from django_jobs.realtime.readers import insist

logger = logging.getLogger("django_jobs")


@dataclass(slots=True, eq=False)
class Visitor:
    """Somebody at the door. ``code`` is the one with which the socket is to be closed, 0 for who may stay.

    What was found out stays, so that nobody's ticket is used twice when the rest is tried again.
    """

    identity: Identity
    is_asked: bool = False
    is_redeemed: bool = False
    user: Any = None
    place: Place | None = None
    code: int | None = None
    error: Exception | None = None

    @property
    def is_known(self) -> bool:
        """Whether all that is left to ask is whether there is a place."""
        return self.code is None and self.error is None


def let_in(visitors: Sequence[Visitor], places: Places) -> list[Visitor | Exception]:
    """Find out who these are, and give each a place. Equal identities are looked up once."""
    users: dict[Any, Any] = {}
    for visitor in visitors:
        _try(visitor, _identify, visitor, users)
    known = [visitor for visitor in visitors if visitor.is_known]
    try:
        insist(_seat, known, places)
    except Exception:  # noqa: BLE001  (one of them is why: the others get their places)
        for visitor in known:
            _try(visitor, _seat, [visitor], places)
    return [visitor.error or visitor for visitor in visitors]


def _try(visitor: Visitor, function: Callable[..., None], *args: Any) -> None:
    """What fails, fails for this one alone."""
    try:
        insist(function, *args)
    except Error as error:
        logger.warning("event=socket_refused error=%s", type(error).__name__)
        visitor.code = TRY_AGAIN
    except Exception as error:  # noqa: BLE001  (raised where the visitor waits)
        visitor.error = error


def _identify(visitor: Visitor, users: dict[Any, Any]) -> None:
    if not visitor.is_redeemed:
        was_asked, visitor.is_asked = visitor.is_asked, True
        redeemed = visitor.identity.redeemed()
        if redeemed is None:  # asked twice where an answer was lost: that time the ticket may have been good
            visitor.code = TRY_AGAIN if was_asked else REVOKED
            return
        visitor.identity, visitor.is_redeemed = redeemed, True
    key = visitor.identity.key
    if key not in users:
        users[key] = user_of(visitor.identity)
    if isinstance(users[key], int):
        visitor.code = users[key]
    else:
        visitor.user = users[key]


def _seat(visitors: Sequence[Visitor], places: Places) -> None:
    found = places.take_all([visitor.user.pk for visitor in visitors])
    for visitor, place in zip(visitors, found, strict=True):
        visitor.place = place
        visitor.code = TOO_MANY if place is None else 0
