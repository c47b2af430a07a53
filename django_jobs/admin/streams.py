"""Answers sent piece by piece, whatever server sends them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse
from django.utils.http import content_disposition_header


def download(request: HttpRequest, name: str, content_type: str, parts: Iterable[Any]) -> StreamingHttpResponse:
    """A file for the disk: no browser opens it, guesses about it or keeps it for others."""
    # Under ASGI Django would read a synchronous iterator to its end first.
    body: Any = _asynchronously(parts) if isinstance(request, ASGIRequest) else parts
    headers = {
        "Content-Disposition": content_disposition_header(True, name),
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    return StreamingHttpResponse(body, content_type=content_type, headers=headers)


async def _asynchronously(parts: Iterable[Any]) -> AsyncIterator[Any]:
    iterator = iter(parts)
    while (part := await sync_to_async(lambda: next(iterator, None))()) is not None:
        yield part


def parts_of(file: Any) -> Iterator[bytes]:
    """What is in an open file, which is closed at the end."""
    with file:
        yield from file.chunks()
