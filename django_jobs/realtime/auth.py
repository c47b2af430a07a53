"""Who opens a socket, found before the consumer sees it: by token, by ticket, or by session and origin."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final

from django.conf import settings
from django.http import parse_cookie

from django_jobs.realtime import identity, origins
from django_jobs.realtime.identity import Identity

App = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]
]

PROTOCOL: Final = "jobs.v1"
#: Keywords of credentials for whatever stands before the application: browsers add them without being asked.
OF_PROXIES: Final = frozenset({"basic", "digest", "negotiate", "ntlm"})
_NOT_KEPT: Final = frozenset({"authorization", "cookie", "sec-websocket-protocol", "sec-websocket-key"})
#: Where the consumer finds it in its scope.
SCOPE_KEY: Final = "django_jobs_identity"


def JobsAuthMiddlewareStack(inner: App) -> App:  # noqa: N802  (named as Channels names such)
    """``inner``, told who opens each socket.

    It checks origins itself: do not put Channels' AllowedHostsOriginValidator around it, which refuses clients that are
    no browsers.
    """

    async def middleware(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        await inner({**scope, SCOPE_KEY: identity_of(scope)}, receive, send)

    return middleware


def identity_of(scope: Mapping[str, Any]) -> Identity | None:
    """How the client says who it is; whether that is true is not asked yet.

    A token or ticket counts alone: a page that sends one does not mean its visitor's session. Whether tokens count at
    all is REST's matter (:mod:`~django_jobs.realtime.rest_tokens`).
    """
    headers = _headers(scope)
    offered = [str(item) for item in scope.get("subprotocols") or ()]
    if PROTOCOL in offered:
        for item in offered:
            way, _, secret = item.partition(".")
            if way == identity.TICKET:
                return Identity(way, secret)
            if way == identity.TOKEN:
                return Identity(way, secret, headers=_others(headers))
    keyword, _, secret = headers.get("authorization", "").strip().partition(" ")
    if keyword and keyword.lower() not in OF_PROXIES:
        return Identity(identity.TOKEN, secret.strip(), keyword, _others(headers))
    return _session(scope, headers)


def _others(headers: Mapping[str, str]) -> dict[str, str]:
    """What a host's token class may look at. It is kept as long as the socket is open: no cookies, no keys."""
    return {name: value for name, value in headers.items() if name not in _NOT_KEPT}


def _session(scope: Mapping[str, Any], headers: Mapping[str, str]) -> Identity | None:
    """The browser sends cookies along whichever page asks for the socket: so the page's origin decides."""
    key = parse_cookie(headers.get("cookie", "")).get(settings.SESSION_COOKIE_NAME)
    if not key or not origins.is_trusted(headers.get("origin"), headers, secure=origins.is_secure(scope, headers)):
        return None
    return Identity(identity.SESSION, key)


def _headers(scope: Mapping[str, Any]) -> dict[str, str]:
    """By lower-case name. What is given twice is joined, as in HTTP, and then no longer an origin or a host."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope.get("headers") or ():
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        joint = "; " if name == "cookie" else ","
        headers[name] = f"{headers[name]}{joint}{value}" if name in headers else value
    return headers
