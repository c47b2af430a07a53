"""The middleware that finds out how a client says who it is: by token, by ticket, or by session and origin."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final

from django.conf import settings
from django.http import parse_cookie

from django_jobs.realtime import identity
from django_jobs.realtime.identity import Identity

App = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]
]

#: The websocket subprotocol that the server answers with.
PROTOCOL: Final = "jobs.v1"
#: Keywords of credentials for a proxy before the application: browsers add them without being asked.
OF_PROXIES: Final = frozenset({"basic", "digest", "negotiate", "ntlm"})
_NOT_KEPT: Final = frozenset({"authorization", "cookie", "sec-websocket-protocol", "sec-websocket-key"})
#: The key of the identity in the consumer's scope.
SCOPE_KEY: Final = "django_jobs_identity"


def JobsAuthMiddlewareStack(inner: App) -> App:  # noqa: N802  (named as Channels names its stacks)
    """Return ``inner`` wrapped so that its scope says who opens each socket.

    The stack checks origins itself. Do not put Channels' AllowedHostsOriginValidator around it, which refuses clients
    that are not browsers.
    """

    async def middleware(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        await inner({**scope, SCOPE_KEY: identity_of(scope)}, receive, send)

    return middleware


def identity_of(scope: Mapping[str, Any]) -> Identity | None:
    """Return who the client says it is, unchecked; None when it does not say or may not use its session.

    A token or a ticket counts alone: a page that sends one does not want its visitor's session. Whether tokens are
    taken at all depends on the REST settings (``identity``).
    """
    headers = _headers(scope)
    offered = [str(item) for item in scope.get("subprotocols") or ()]
    if PROTOCOL in offered:
        for item in offered:
            way, _, secret = item.partition(".")
            if way in {identity.TICKET, identity.TOKEN}:
                return identity_by(way, secret, scope)
    keyword, _, secret = headers.get("authorization", "").strip().partition(" ")
    if keyword and keyword.lower() not in OF_PROXIES:
        return Identity(identity.TOKEN, secret.strip(), keyword, _others(headers))
    return _session(scope, headers)


def identity_by(way: str, secret: str, scope: Mapping[str, Any]) -> Identity:
    """Return the identity, unchecked, of a client that sent a ticket or a token in a way of its protocol.

    ``way`` is TICKET or TOKEN of :mod:`~django_jobs.realtime.identity`.
    """
    return Identity(way, secret, headers=_others(_headers(scope)) if way == identity.TOKEN else None)


def is_trusted_page(scope: Mapping[str, Any]) -> bool:
    """Return whether the request comes from a page that may use its visitor's session."""
    headers = _headers(scope)
    return identity.is_trusted(headers.get("origin"), headers, secure=identity.is_secure(scope, headers))


def _others(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers for a host's token class. They are kept with the socket, so cookies and keys are left out."""
    return {name: value for name, value in headers.items() if name not in _NOT_KEPT}


def _session(scope: Mapping[str, Any], headers: Mapping[str, str]) -> Identity | None:
    """Return the session of the cookie if the page's origin is trusted: browsers send the cookie for every page."""
    key = parse_cookie(headers.get("cookie", "")).get(settings.SESSION_COOKIE_NAME)
    if not key or not is_trusted_page(scope):
        return None
    return Identity(identity.SESSION, key)


def _headers(scope: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers by lower-case name.

    Repeated headers are joined as in HTTP, so that a repeated origin or host is not a valid one any more.
    """
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope.get("headers") or ():
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        joint = "; " if name == "cookie" else ","
        headers[name] = f"{headers[name]}{joint}{value}" if name in headers else value
    return headers
