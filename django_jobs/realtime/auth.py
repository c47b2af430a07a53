"""The middleware that finds out how a client says who it is: by token, by ticket, or by session and origin."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from io import BytesIO
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest

from django_jobs.conf import jobs_settings
from django_jobs.realtime import identity
from django_jobs.realtime.identity import Identity

App = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]
]

#: The websocket subprotocol that the server answers with.
PROTOCOL: Final = "jobs.v1"
#: Keywords of credentials for a proxy before the application: browsers add them without being asked.
OF_PROXIES: Final = frozenset({"basic", "digest", "negotiate", "ntlm"})
#: Headers by their names in META.
_NOT_KEPT: Final = frozenset(
    {"HTTP_AUTHORIZATION", "HTTP_COOKIE", "HTTP_SEC_WEBSOCKET_PROTOCOL", "HTTP_SEC_WEBSOCKET_KEY"}
)
#: The port of each scheme that no browser writes into an origin.
_USUAL_PORTS: Final = {"http": ":80", "https": ":443"}
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
    request = _request(scope)
    offered = [str(item) for item in scope.get("subprotocols") or ()]
    if PROTOCOL in offered:
        for item in offered:
            way, _, secret = item.partition(".")
            if way in {identity.TICKET, identity.TOKEN}:
                return identity_by(way, secret, scope)
    keyword, _, secret = request.headers.get("Authorization", "").strip().partition(" ")
    if keyword and keyword.lower() not in OF_PROXIES:
        return Identity(identity.TOKEN, secret.strip(), keyword, _kept(request))
    key = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    # Browsers send the cookie for every page.
    return Identity(identity.SESSION, key) if key and is_trusted_page(scope) else None


def identity_by(way: str, secret: str, scope: Mapping[str, Any]) -> Identity:
    """Return the identity, unchecked, of a client that sent a ticket or a token in a way of its protocol.

    ``way`` is TICKET or TOKEN of :mod:`~django_jobs.realtime.identity`.
    """
    return Identity(way, secret, headers=_kept(_request(scope)) if way == identity.TOKEN else None)


def is_trusted_page(scope: Mapping[str, Any]) -> bool:
    """Return whether the request comes from a page that may use its visitor's session.

    Such a page is of this host, or of an origin in WEBSOCKET_ORIGINS.
    """
    request = _request(scope)
    origin = _plain(request.headers.get("Origin", ""))
    # A blank one names no page: a request without an origin is no browser's.
    named = [_plain(item) for item in jobs_settings.WEBSOCKET_ORIGINS if item]
    return origin in {*_own_origins(request), *named} or any(_is_below(origin, item) for item in named)


def _own_origins(request: ASGIRequest) -> set[str]:
    """Return the origins of pages of this host. Where the client's connection is encrypted, theirs is, too."""
    try:
        host = request.get_host()
    except DisallowedHost:
        return set()
    schemes = ["https"] if request.is_secure() else ["http", "https"]
    return {_plain(f"{scheme}://{host}") for scheme in schemes}


def _is_below(origin: str, pattern: str) -> bool:
    """Return whether the origin matches a pattern such as ``https://*.example.com``."""
    scheme, wildcard, domain = pattern.partition("://*")
    return bool(wildcard) and origin.startswith(f"{scheme}://") and origin.endswith(domain)


def _plain(origin: str) -> str:
    """Return the origin as browsers write it."""
    origin = origin.lower()
    return origin.removesuffix(_USUAL_PORTS.get(origin.partition("://")[0], ""))


def _kept(request: ASGIRequest) -> dict[str, str]:
    """Return the headers for a host's token class. They are kept with the socket, so cookies and keys are left out."""
    return {name: value for name, value in request.META.items() if name.startswith("HTTP_") and name not in _NOT_KEPT}


def _request(scope: Mapping[str, Any]) -> ASGIRequest:
    """Return the handshake as a request of HTTP, as Django reads it."""
    scheme = {"ws": "http", "wss": "https"}.get(scope.get("scheme", ""), scope.get("scheme"))
    return ASGIRequest({**scope, "method": "GET", "scheme": scheme, "query_string": b""}, BytesIO())
