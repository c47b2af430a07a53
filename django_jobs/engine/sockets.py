"""One-time tickets by which a client that cannot send a header proves who opens a websocket.

A ticket opens one socket. The socket ends with the session or the token that asked for the ticket.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Any, Final

from django_jobs.engine import timing
from django_jobs.engine.store import database
from django_jobs.models import SocketTicket

#: No ticket has more characters. A longer text is refused without a look at the database.
MAX_LENGTH: Final = 100
BATCH: Final = 1_000

SESSION: Final = "session"
TOKEN: Final = "token"  # noqa: S105  (the name of a kind, not a secret)


@dataclass(frozen=True, slots=True)
class Credential:
    """How somebody proved who they are. ``kind`` is SESSION, TOKEN, or blank for any other way.

    ``secret`` is the session's key, or a token with the keyword before it. ``auth_hash`` is the hash of the user's
    password when a session asked.
    """

    kind: str = ""
    secret: str = field(default="", repr=False)
    auth_hash: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Redeemed:
    """Who a used ticket was issued for, and which credential asked for it."""

    user_pk: Any
    credential: Credential


ANOTHER: Final = Credential()


def make_ticket(user: Any, credential: Credential = ANOTHER) -> str:
    """Return a new ticket for this user, good for SOCKET_PASS_SECONDS, in characters that a subprotocol may have.

    Pass the credential that the user's request came with. The ticket, and the socket that it opens, end with it.
    """
    ticket = secrets.token_urlsafe(32)
    SocketTicket.primary.create(
        digest=_digest(ticket),
        user_id=user.pk,
        credential=f"{credential.kind}:{_seal(credential.secret, ticket)}" if credential.kind else "",
        session_auth_hash=credential.auth_hash,
        expires_at=database.now() + dt.timedelta(seconds=timing.SOCKET_PASS_SECONDS),
    )
    return ticket


def use_ticket(ticket: str) -> Redeemed | None:
    """Use up a ticket and return who it was issued for; None if it is unknown, used or expired.

    Of two callers at the same moment one deletes the row, and the other gets None. The caller must check whether the
    credential still holds.
    """
    if not ticket or len(ticket) > MAX_LENGTH:
        return None
    rows = SocketTicket.primary.filter(pk=_digest(ticket))
    ticket_row = rows.first()
    # delete() would open a transaction around the one statement.
    if ticket_row is None or not rows._raw_delete(rows.db) or ticket_row.expires_at <= database.now():  # noqa: SLF001
        return None
    kind, _, sealed = ticket_row.credential.partition(":")
    return Redeemed(ticket_row.user_id, Credential(kind, _unseal(sealed, ticket), ticket_row.session_auth_hash))


def forget_expired_tickets() -> int:
    """Delete at most BATCH expired tickets, and return how many were deleted."""
    rows = SocketTicket.primary.all()
    expired = rows.filter(expires_at__lt=database.now()).values_list("pk", flat=True)[:BATCH]
    return rows.filter(pk__in=list(expired)).delete()[0]


def _digest(ticket: str) -> str:
    return hashlib.sha256(ticket.encode(errors="replace")).hexdigest()


def _seal(secret: str, ticket: str) -> str:
    """Encrypt the secret, so that who reads the table and does not hold the ticket cannot read it.

    This is a one-time pad (SHAKE-256 of the ticket): the ticket is random, seals one secret, and is stored nowhere.
    """
    return base64.urlsafe_b64encode(_pad(secret.encode(), ticket)).decode()


def _unseal(sealed: str, ticket: str) -> str:
    return _pad(base64.urlsafe_b64decode(sealed), ticket).decode(errors="replace")


def _pad(data: bytes, ticket: str) -> bytes:
    stream = hashlib.shake_256(b"django_jobs.socket_ticket:" + ticket.encode()).digest(len(data))
    return bytes(one ^ other for one, other in zip(data, stream, strict=True))
