"""How a client of Socket.IO says who it is, and what it is told when it does not or may not come in."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import parse_qs

from django_jobs.realtime import auth, identity
from django_jobs.realtime.identity import Identity
from django_jobs.realtime.protocol import REVOKED, TOO_MANY, TRY_AGAIN

UNAUTHENTICATED: Final = "unauthenticated"
NOBODY: Final = (
    'Say who you are: by auth {"token": …} or {"ticket": …}, by a query token=…, by the Authorization header, or by a '
    "session from a page of this host or of WEBSOCKET_ORIGINS."
)
#: By the code with which a websocket is refused: the code of the answer, and its text.
REFUSALS: Final[Mapping[int, tuple[str, str]]] = MappingProxyType(
    {
        REVOKED: (UNAUTHENTICATED, "The token, ticket or session is not valid, or its user is not active."),
        TOO_MANY: ("limit", "The user has as many sockets open as a user may have."),
        TRY_AGAIN: ("unavailable", "The server cannot answer now. Connect again later."),
    }
)


def identity_of(scope: Mapping[str, Any], given: object) -> Identity | None:
    """Return who the client says it is, unchecked; None when it does not say.

    ``given`` is the client's ``auth``. It goes before the query, which goes before what a websocket may say.
    """
    query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
    places: list[Mapping[str, object]] = [{way: values[0] for way, values in query.items()}]
    if isinstance(given, dict):
        places.insert(0, given)
    for place in places:
        for way in (identity.TICKET, identity.TOKEN):
            secret = place.get(way)
            if secret:
                # What is no text is no token of anybody.
                return auth.identity_by(way, secret if isinstance(secret, str) else "", scope)
    return auth.identity_of(scope)
