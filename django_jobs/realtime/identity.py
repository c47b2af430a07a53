"""The person at a socket."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model, load_backend
from django.core.exceptions import ValidationError
from django.db import Error
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare
from rest_framework.authentication import TokenAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework.settings import api_settings

from django_jobs.engine import sockets
from django_jobs.realtime.protocol import REVOKED, TRY_AGAIN

# Who opened a socket, by session, token or ticket, and whether that still holds. Everything here uses the database.
#
# Tokens are judged by the classes that the host's REST API uses: where REST takes no tokens, no socket does.


logger = logging.getLogger("django_jobs")

SESSION: Final = sockets.SESSION
TOKEN: Final = sockets.TOKEN
TICKET: Final = "ticket"
USER: Final = "user"
#: In characters. A session that is stored in its cookie is as long as a cookie may be.
MAX_SECRET: Final = 4_096


@dataclass(frozen=True, slots=True)
class Identity:
    """How somebody proved who they are. Its repr, and so the log, leaves out the secret and the headers.

    ``way`` is SESSION, TOKEN, TICKET or USER. ``keyword`` stands before a token, where the client gave one, and
    ``headers`` are the client's by their names in META, for REST's own authentication. ``user_pk`` and ``auth_hash``
    come from a used ticket: it was issued for this user, and for a session with this password's hash.
    """

    way: str
    secret: str = field(repr=False)
    keyword: str = ""
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    user_pk: Any = None
    auth_hash: str = field(default="", repr=False)

    def redeemed(self) -> Identity | None:
        """Use up a ticket and return the identity behind it; None for a bad ticket. Return other identities as is."""
        if self.way != TICKET:
            return self
        found = sockets.use_ticket(self.secret)
        if found is None:
            return None
        way, secret, keyword = found.credential.kind or USER, found.credential.secret, ""
        if way == USER:
            secret = str(found.user_pk)
        elif way == TOKEN:
            keyword, _, secret = secret.partition(" ")
        return Identity(way, secret, keyword, None, found.user_pk, found.credential.auth_hash)

    def user(self) -> Any | None:
        """Return the user whom this identity proves now; None when there is none or the user is not active."""
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
        """Return a key that is equal for equal identities and does not hold the secret."""
        text = "\0".join((self.secret, self.keyword, self.auth_hash, repr(self.headers)))
        return self.way, str(self.user_pk), hashlib.sha256(text.encode(errors="replace")).hexdigest()


def active_user(identity: Identity) -> Any:
    """Return the active user of this identity, or the close code for its socket. Raises the database's errors."""
    try:
        user = identity.user()
    except Error:
        raise
    except Exception as error:
        logger.exception("event=socket_authentication_failed error=%s", type(error).__name__)
        return TRY_AGAIN
    return REVOKED if user is None else user


def _session_user(identity: Identity) -> Any | None:
    """Return the session's user. Django's ``get_user`` would write to the session, but no cookie can follow."""
    session = import_module(settings.SESSION_ENGINE).SessionStore(identity.secret)
    path = session.get(BACKEND_SESSION_KEY)
    if path not in settings.AUTHENTICATION_BACKENDS or SESSION_KEY not in session:
        return None
    user = load_backend(path).get_user(get_user_model()._meta.pk.to_python(session[SESSION_KEY]))
    if user is None or not hasattr(user, "get_session_auth_hash"):
        return user
    return user if _has_hash(user, session.get(HASH_SESSION_KEY) or "") else None


def _has_hash(user: Any, known: str) -> bool:
    """Return whether ``known`` is the hash of the password that the user has now."""
    if not hasattr(user, "get_session_auth_hash"):
        return True
    hashes = [user.get_session_auth_hash(), *getattr(user, "get_session_auth_fallback_hash", list)()]
    return any(constant_time_compare(known, item) for item in hashes)


def _token_user(identity: Identity) -> Any | None:
    if identity.headers is None:
        return _user_of_stored_token(identity.keyword, identity.secret)
    return _user_of_sent_token(identity.headers, identity.keyword, identity.secret)


def _user_of_sent_token(headers: Mapping[str, str], keyword: str, token: str) -> Any | None:
    """Return the user whom REST would see if these headers and this token were a request to it.

    Without a ``keyword`` each class is asked with its own.
    """
    for authentication in _token_classes(keyword):
        try:
            found = authentication.authenticate(_request(headers, f"{keyword or authentication.keyword} {token}"))
        except (AuthenticationFailed, UnicodeError):
            if keyword:
                return None
            continue
        if found is not None:
            return found[0]
    return None


def _user_of_stored_token(keyword: str, token: str) -> Any | None:
    """Return the user of a token that a ticket was issued for. There is no request to show to REST."""
    for authentication in _token_classes(keyword):
        try:
            return authentication.authenticate_credentials(token)[0]
        except AuthenticationFailed:
            continue
    return None


def _token_classes(keyword: str) -> Iterator[TokenAuthentication]:
    """Return the host's classes for tokens, all of them or those with this keyword."""
    kinds: Any = api_settings.DEFAULT_AUTHENTICATION_CLASSES or ()
    for kind in kinds:
        if issubclass(kind, TokenAuthentication):
            authentication = kind()
            if not keyword or authentication.keyword.lower() == keyword.lower():
                yield authentication


def _request(headers: Mapping[str, str], authorization: str) -> Request:
    """Return the handshake as REST would see it."""
    request = HttpRequest()
    request.method = "GET"
    request.META = {**headers, "HTTP_AUTHORIZATION": authorization}
    return Request(request)


def _ticket_user(identity: Identity) -> Any | None:
    try:
        return get_user_model()._default_manager.filter(pk=identity.secret).first()
    except (ValueError, ValidationError):
        return None


_WAYS: Final = {
    SESSION: _session_user,
    TOKEN: _token_user,
    USER: _ticket_user,
}
