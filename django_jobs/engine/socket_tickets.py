"""Short-lived tickets by which a websocket proves who opened it, for clients that cannot send a header."""

from __future__ import annotations

from typing import Any, Final

from django.contrib.auth import get_user_model
from django.core import signing
from django.core.exceptions import ValidationError

LIFETIME_SECONDS: Final = 60


def make_ticket(user: Any) -> str:
    """A signed ticket for this user, in characters that a websocket subprotocol may have."""
    return _signer().sign_object(str(user.pk))


def read_ticket(ticket: str) -> Any | None:
    """The active user whom a ticket of the last minute names; None for any other text. Reads the database."""
    users = get_user_model()
    try:
        pk = _signer().unsign_object(ticket, max_age=LIFETIME_SECONDS)
        user: Any = users._default_manager.get(pk=pk)
    except (signing.BadSignature, ValueError, TypeError, ValidationError, users.DoesNotExist):
        return None
    return user if user.is_active else None


def _signer() -> signing.TimestampSigner:
    # Not Django's usual colon, at which a browser refuses the subprotocol.
    return signing.TimestampSigner(sep=".", salt="django_jobs.socket_ticket")
