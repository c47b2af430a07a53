"""The Content-Security-Policy of the pages: everything comes from this host, and nothing is inline."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from django.http import HttpRequest, HttpResponseBase

View = Callable[..., HttpResponseBase]

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self' {socket}; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def strict(view: View) -> View:
    """Return the view with the policy added to its response."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = view(request, *args, **kwargs)
        # Not every browser counts a websocket of this host as 'self'.
        socket = f"{'wss' if request.is_secure() else 'ws'}://{request.get_host()}"
        response.headers["Content-Security-Policy"] = POLICY.format(socket=socket)
        return response

    return guarded
