"""Tokens, judged by the classes by which the host's REST API judges them: where REST takes none, no socket does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.http import HttpRequest
from rest_framework.authentication import TokenAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework.settings import api_settings


def user_by_request(headers: Mapping[str, str], keyword: str, key: str) -> Any | None:
    """Return whose token REST would say this is, had it come to REST with these headers; None for nobody's.

    Without a ``keyword`` each class is asked with its own.
    """
    for way in _ways(keyword):
        try:
            found = way.authenticate(_request(headers, f"{keyword or way.keyword} {key}"))
        except (AuthenticationFailed, UnicodeError):
            if keyword:
                return None
            continue
        if found is not None:
            return found[0]
    return None


def user_of(keyword: str, key: str) -> Any | None:
    """Return whose token this is; None for nobody's, or nobody's any more."""
    for way in _ways(keyword):
        try:
            return way.authenticate_credentials(key)[0]
        except AuthenticationFailed:
            continue
    return None


def _ways(keyword: str) -> Iterator[TokenAuthentication]:
    """The host's classes for tokens, those with this keyword if there is one."""
    kinds: Any = api_settings.DEFAULT_AUTHENTICATION_CLASSES or ()
    for kind in kinds:
        if issubclass(kind, TokenAuthentication):
            way = kind()
            if not keyword or way.keyword.lower() == keyword.lower():
                yield way


def _request(headers: Mapping[str, str], authorization: str) -> Request:
    """The handshake, as REST would see it."""
    request = HttpRequest()
    request.method = "GET"
    request.META = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    request.META["HTTP_AUTHORIZATION"] = authorization
    return Request(request)
