"""Who opened a socket, and whether that still holds. Everything here reads the database."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model, load_backend
from django.core.exceptions import ValidationError
from django.utils.crypto import constant_time_compare

from django_jobs.engine import socket_tickets

SESSION: Final = "session"
TOKEN: Final = "token"  # noqa: S105  (the name of a way, not a secret)
TICKET: Final = "ticket"
USER: Final = "user"
MAX_SECRET: Final = 4_000


@dataclass(frozen=True, slots=True)
class Identity:
    """The way in which somebody proved who they are. The secret shows up in no log."""

    way: str
    secret: str = field(repr=False)

    def user(self) -> Any | None:
        """The active user whom this stands for now; None when there is none, or none any more."""
        if not self.secret or len(self.secret) > MAX_SECRET or "\0" in self.secret:
            return None
        user = _WAYS[self.way](self.secret)
        return user if user is not None and user.is_authenticated and user.is_active else None

    def lasting(self, user: Any) -> Identity:
        """What is looked at later on: a ticket has run out by then, and its user is what remains."""
        return Identity(USER, str(user.pk)) if self.way == TICKET else self

    @property
    def key(self) -> tuple[str, str]:
        """Equal for equal identities, without the secret."""
        return self.way, hashlib.sha256(self.secret.encode()).hexdigest()


def _session_user(key: str) -> Any | None:
    """As ``django.contrib.auth.get_user``, which would write to the session: here no cookie could follow."""
    session = import_module(settings.SESSION_ENGINE).SessionStore(key)
    path = session.get(BACKEND_SESSION_KEY)
    if path not in settings.AUTHENTICATION_BACKENDS or SESSION_KEY not in session:
        return None
    user = load_backend(path).get_user(get_user_model()._meta.pk.to_python(session[SESSION_KEY]))
    if user is None or not hasattr(user, "get_session_auth_hash"):
        return user
    known = session.get(HASH_SESSION_KEY) or ""
    hashes = [user.get_session_auth_hash(), *getattr(user, "get_session_auth_fallback_hash", list)()]
    return user if any(constant_time_compare(known, item) for item in hashes) else None


def _token_user(key: str) -> Any | None:
    if not apps.is_installed("rest_framework.authtoken"):
        return None
    from rest_framework.authtoken.models import Token

    token = Token.objects.select_related("user").filter(key=key).first()
    return token.user if token is not None else None


def _user(pk: str) -> Any | None:
    try:
        return get_user_model()._default_manager.filter(pk=pk).first()
    except (ValueError, ValidationError):
        return None


_WAYS: Final = {
    SESSION: _session_user,
    TOKEN: _token_user,
    TICKET: socket_tickets.read_ticket,
    USER: _user,
}
