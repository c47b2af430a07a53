"""Groups like errors: a fingerprint is a hash of the message without numbers, ids and quoted texts.

The message may hold what only readers of the traceback may see. So the fingerprint is an HMAC with Django's SECRET_KEY:
nobody else can try guesses on it. An unexpected exception has a second one, of the place that it came from. A
``KeyError`` in one function is another fault than in another.
"""

from __future__ import annotations

import re
from typing import Final

from django.utils.crypto import salted_hmac

#: Hexadecimal digits of a fingerprint that stand for the text of the error, and for its place.
KIND_DIGITS: Final = 32
PLACE_DIGITS: Final = 16
#: Characters of the message that count.
MAX_MESSAGE: Final = 2_000
#: In this order: quoted texts go first, otherwise their content would be replaced piece by piece.
_FOLDED: Final = (
    (re.compile(r"\"[^\"\n]*\"|“[^”\n]*”|«[^»\n]*»|`[^`\n]*`"), "<quoted>"),
    # An apostrophe inside a word quotes nothing.
    (re.compile(r"(?<!\w)'[^'\n]*'(?!\w)"), "<quoted>"),
    (re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s,;)>\]]+", re.IGNORECASE), "<url>"),
    (re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), "<mail>"),
    (re.compile(r"(?<![\w.])(?:[A-Za-z]:)?(?:[\\/][\w.@+~-]+){2,}[\\/]?|(?<![\w.])[\\/][\w@+~-]+\.\w+"), "<path>"),
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\b0x[0-9a-f]+\b", re.IGNORECASE), "<id>"),
    # Hexadecimal only with a digit in it, so that words stay.
    (re.compile(r"\b(?=[a-f]*[0-9])[0-9a-f]{8,}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\b[A-Z][A-Z0-9]*(?:-\d+)+\b"), "<id>"),
    (re.compile(r"[-+]?\d+(?:[.,:]\d+)*"), "<n>"),
    (re.compile(r"\s+"), " "),
)
_FRAME: Final = '  File "'


def fingerprint(message: str, traceback: str = "", place: str = "") -> str:
    """Return a hash that is equal for like errors: of the traceback's exception, or of the message if there is none.

    With a ``place`` it is equal for like errors of that place alone, and begins as it does without.
    """
    text = fold(exception_in(traceback) or message)
    return _hash(text, KIND_DIGITS) + (_hash(place, PLACE_DIGITS) if place else "")


def kind_of(error_fingerprint: str) -> str:
    """Return the part of a fingerprint that is equal for like errors wherever they came from."""
    return error_fingerprint[:KIND_DIGITS]


def _hash(text: str, digits: int) -> str:
    value = text.encode("utf-8", "replace")
    return salted_hmac("django_jobs.error_fingerprint", value, algorithm="sha256").hexdigest()[:digits]


def fold(message: str) -> str:
    """Return the message with each varying part replaced by the kind of thing it is."""
    folded = message[:MAX_MESSAGE]
    for pattern, kind in _FOLDED:
        folded = pattern.sub(kind, folded)
    return folded.strip()


def exception_in(traceback: str) -> str:
    """Return ``class: message`` of the exception at the end of a traceback; empty when there is none."""
    _, frame, rest = traceback.rpartition(_FRAME)
    lines = iter(rest.splitlines()[1:] if frame else [])
    # Source lines, marks and notes of repetition are indented; the exception is not.
    first = next((line for line in lines if line[:1].strip() and not line.startswith("[")), "")
    return "\n".join([first, *lines]).strip()
