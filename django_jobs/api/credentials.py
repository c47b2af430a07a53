"""How a request was authenticated: a ticket for a websocket ends with the session or token that asked for it."""

from __future__ import annotations

from typing import Any

from rest_framework.authentication import SessionAuthentication, TokenAuthentication, get_authorization_header

from django_jobs.engine.sockets import ANOTHER, SESSION, TOKEN, Credential


def credential_of(request: Any) -> Credential:
    """Return the session or the token that authenticated the request; ANOTHER for any other way (Basic, JWT, …)."""
    way = request.successful_authenticator
    if isinstance(way, SessionAuthentication):
        get_hash = getattr(request.user, "get_session_auth_hash", str)
        return Credential(SESSION, request._request.session.session_key or "", get_hash())  # noqa: SLF001
    key = _key_of(request, way) if isinstance(way, TokenAuthentication) else ""
    return Credential(TOKEN, f"{way.keyword} {key}") if key else ANOTHER


def _key_of(request: Any, way: TokenAuthentication) -> str:
    """Return the token in the request's header, or the key of the token's row where a subclass reads it elsewhere."""
    keyword, _, key = get_authorization_header(request).decode("latin-1").strip().partition(" ")
    return key.strip() if keyword.lower() == way.keyword.lower() else str(getattr(request.auth, "key", ""))
