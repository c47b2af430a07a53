"""The response that sends a file to be saved: REST and the admin answer with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import IO, Any, Final

from asgiref.sync import sync_to_async
from django.http import FileResponse
from django.utils.http import content_disposition_header

#: Another tenant's script may be in the file, so no browser opens it or guesses its kind, and no cache keeps it.
HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, no-store",
    "Content-Security-Policy": "default-src 'none'; sandbox",
}


class Download(FileResponse):
    """Send a file, or the parts of one, as an attachment of this name.

    An open file is closed at the end. Without a ``content_type`` the name of the file decides. Under ASGI the content
    is sent piece by piece too, where Django would read all of it first.
    """

    def __init__(self, content: IO[bytes] | Iterable[Any], name: str, content_type: str | None = None) -> None:
        disposition = content_disposition_header(True, name)  # Django itself sets it for open files alone
        headers = {**HEADERS, "Content-Disposition": disposition}
        super().__init__(content, as_attachment=True, filename=name, content_type=content_type, headers=headers)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self.is_async:  # a middleware has put something else in its place
            async for part in super().__aiter__():
                yield part
            return
        parts: Any = iter(self)
        while (chunk := await sync_to_async(lambda: next(parts, None))()) is not None:
            yield chunk
