"""The example project as an ASGI application that serves its static files although DEBUG is off."""

from __future__ import annotations

from typing import Any

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler

from example_project import asgi

_pages: Any = ASGIStaticFilesHandler(asgi.http)


async def application(scope: Any, receive: Any, send: Any) -> None:
    await (_pages if scope["type"] == "http" else asgi.application)(scope, receive, send)
