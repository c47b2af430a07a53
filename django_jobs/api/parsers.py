"""Reading the bodies of requests, within bounds."""

from __future__ import annotations

import codecs
from typing import Any, Final

from django.conf import settings
from rest_framework.exceptions import ParseError, UnsupportedMediaType
from rest_framework.parsers import FormParser, JSONParser, MultiPartParser

from django_jobs.api.errors import TooLarge


class SafeJSONParser(JSONParser):
    """Parse JSON. ParseError, not a crash, for JSON that is nested more deeply than Python can read."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        try:
            return super().parse(stream, media_type, parser_context)
        except RecursionError as error:
            raise ParseError("JSON parse error - it is nested too deeply.") from error


#: Encodings of host names, in which no body can be written. Some versions of Python fail at them late, or not at all.
HOST_NAME_ENCODINGS: Final = frozenset({"idna", "punycode"})
PARSERS = (SafeJSONParser, FormParser, MultiPartParser)


def check_body(request: Any) -> None:
    """Refuse a body that could not be read to its end.

    TooLarge for more than ``DATA_UPLOAD_MAX_MEMORY_SIZE`` bytes, which Django itself checks for forms alone.
    UnsupportedMediaType for a charset that is unknown, no encoding of text, or fails at wrong bytes.
    """
    limit: int | None = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    length = str(request.META.get("CONTENT_LENGTH") or "0")
    if limit is not None and length.isascii() and length.isdecimal() and int(length[:20]) > limit:
        raise TooLarge(f"The request's body is larger than {limit} bytes.")
    encoding = request.encoding
    try:
        is_of_text = codecs.lookup(encoding or "utf-8").name not in HOST_NAME_ENCODINGS
        b"\xff".decode(encoding or "utf-8", "replace")  # which is how Django reads forms
    except (LookupError, UnicodeError):
        is_of_text = False
    if not is_of_text:
        request.encoding = None  # the answer is written in the request's encoding
        raise UnsupportedMediaType(f"charset={encoding}")
