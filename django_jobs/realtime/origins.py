"""Which pages may use their visitor's session: those of this host, and of the origins in WEBSOCKET_ORIGINS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from django_jobs.conf import jobs_settings

_PORTS = {"http": 80, "https": 443}


def is_trusted(origin: str | None, headers: Mapping[str, str], *, secure: bool) -> bool:
    """Return whether ``origin`` is this host's or one of WEBSOCKET_ORIGINS.

    ``headers`` have lower-case names. ``secure`` says that the connection came over TLS.
    """
    parts = _parse(origin)
    if parts is None or origin is None:
        return False
    return _is_own(parts, headers, secure=secure) or any(
        _matches(parts, item) for item in jobs_settings.WEBSOCKET_ORIGINS
    )


def is_secure(scope: Mapping[str, Any], headers: Mapping[str, str]) -> bool:
    """Return whether the client's connection is encrypted, according to the scope or to a trusted proxy's header."""
    if scope.get("scheme") in {"wss", "https"}:
        return True
    trusted = getattr(settings, "SECURE_PROXY_SSL_HEADER", None)
    if not trusted:
        return False
    name, value = trusted
    given = headers.get(name.removeprefix("HTTP_").replace("_", "-").lower(), "")
    return bool(given.split(",", 1)[0].strip() == value)


def _parse(origin: str | None) -> SplitResult | None:
    try:
        parts = urlsplit(origin or "")
        is_origin = parts.scheme in _PORTS and parts.hostname and parts.port != 0 and not parts.path and not parts.query
    except ValueError:  # the port is no number
        return None
    return parts if is_origin and "@" not in parts.netloc else None


def _is_own(parts: SplitResult, headers: Mapping[str, str], *, secure: bool) -> bool:
    if secure and parts.scheme != "https":
        return False
    name = "x-forwarded-host" if settings.USE_X_FORWARDED_HOST and "x-forwarded-host" in headers else "host"
    host = headers.get(name, "").lower()
    domain, port = split_domain_port(host)
    allowed = settings.ALLOWED_HOSTS or ([".localhost", "127.0.0.1", "[::1]"] if settings.DEBUG else [])
    if not domain or not validate_host(domain, allowed):
        return False
    return _address(parts) == (domain, int(port) if port else _PORTS[parts.scheme])


def _address(parts: SplitResult) -> tuple[str, int]:
    hostname = str(parts.hostname)
    return (f"[{hostname}]" if ":" in hostname else hostname), parts.port or _PORTS[parts.scheme]


def _matches(parts: SplitResult, pattern: str) -> bool:
    """Return whether the origin matches ``https://app.example.com``, with a port if unusual, or ``https://*.example.com``."""
    known = _parse(pattern.replace("://*.", "://", 1))
    if known is None or known.scheme != parts.scheme:
        return False
    (name, port), (known_name, known_port) = _address(parts), _address(known)
    if port != known_port:
        return False
    return name.endswith(f".{known_name}") if "://*." in pattern else name == known_name
