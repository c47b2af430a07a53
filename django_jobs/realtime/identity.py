"""Who opened a socket, and whether that still holds. Everything here uses the database."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model, load_backend
from django.core.exceptions import ValidationError
from django.utils.crypto import constant_time_compare

from django_jobs.engine.sockets import tickets
from django_jobs.realtime import rest_tokens

SESSION: Final = tickets.SESSION
TOKEN: Final = tickets.TOKEN
TICKET: Final = "ticket"
USER: Final = "user"
#: A session that lies in its cookie is as long as a cookie may be.
MAX_SECRET: Final = 4_096


@dataclass(frozen=True, slots=True)
class Identity:
    """The way in which somebody proved who they are. The secret shows up in no log.

    ``keyword`` stands before a token, where the client gave one, and ``headers`` are the client's, which REST's own
    authentication may want to see. ``user_pk`` and ``auth_hash`` are of the ticket that opened the socket: it was
    issued for this user, and for a session that had this password.
    """

    way: str
    secret: str = field(repr=False)
    keyword: str = ""
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    user_pk: Any = None
    auth_hash: str = field(default="", repr=False)

    def redeemed(self) -> Identity | None:
        """Return who came with a ticket, which is used up by that; None for a bad one. Any other identity is itself."""
        if self.way != TICKET:
            return self
        found = tickets.use_ticket(self.secret)
        if found is None:
            return None
        way, secret, keyword = found.credential.kind or USER, found.credential.secret, ""
        if way == USER:
            secret = str(found.user_pk)
        elif way == TOKEN:
            keyword, _, secret = secret.partition(" ")
        return Identity(way, secret, keyword, None, found.user_pk, found.credential.auth_hash)

    def user(self) -> Any | None:
        """Return the active user whom this stands for now; None when there is none, or none any more."""
        if not self.secret or len(self.secret) > MAX_SECRET or "\0" in self.secret:
            return None
        user = _WAYS[self.way](self)
        if user is None or not user.is_authenticated or not user.is_active:
            return None
        if self.user_pk is not None and user.pk != self.user_pk:
            return None
        return None if self.auth_hash and not _has_hash(user, self.auth_hash) else user

    @property
    def key(self) -> tuple[str, ...]:
        """Equal for equal identities, without the secret."""
        text = "\0".join((self.secret, self.keyword, self.auth_hash, repr(self.headers)))
        return self.way, str(self.user_pk), hashlib.sha256(text.encode(errors="replace")).hexdigest()


def _session_user(identity: Identity) -> Any | None:
    """As ``django.contrib.auth.get_user``, which would write to the session: here no cookie could follow."""
    session = import_module(settings.SESSION_ENGINE).SessionStore(identity.secret)
    path = session.get(BACKEND_SESSION_KEY)
    if path not in settings.AUTHENTICATION_BACKENDS or SESSION_KEY not in session:
        return None
    user = load_backend(path).get_user(get_user_model()._meta.pk.to_python(session[SESSION_KEY]))
    if user is None or not hasattr(user, "get_session_auth_hash"):
        return user
    return user if _has_hash(user, session.get(HASH_SESSION_KEY) or "") else None


def _has_hash(user: Any, known: str) -> bool:
    """Whether the user's password is still the one that this is the hash of."""
    if not hasattr(user, "get_session_auth_hash"):
        return True
    hashes = [user.get_session_auth_hash(), *getattr(user, "get_session_auth_fallback_hash", list)()]
    return any(constant_time_compare(known, item) for item in hashes)


def _token_user(identity: Identity) -> Any | None:
    if identity.headers is None:
        return rest_tokens.user_of(identity.keyword, identity.secret)
    return rest_tokens.user_by_request(identity.headers, identity.keyword, identity.secret)


def _user(identity: Identity) -> Any | None:
    try:
        return get_user_model()._default_manager.filter(pk=identity.secret).first()
    except (ValueError, ValidationError):
        return None


_WAYS: Final = {
    SESSION: _session_user,
    TOKEN: _token_user,
    USER: _user,
}
