"""Masks in the place of sensitive values, for whoever may not read them, also where they come back."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence, Set
from functools import cached_property
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from django_jobs.conf import jobs_settings
from django_jobs.texts import say

# Masking sensitive values: whoever may not read them gets a mask in the place of each.
#
# The setting ``SENSITIVE_PARAMETERS`` names their keys. Handlers, signals and server code without a user get the values
# themselves. Every endpoint that answers a person asks :func:`hidden_from` and shows ``masked(value, names)``.


MASK: Final = "********"
PERMISSION: Final = "django_jobs.view_sensitive"
#: Characters. Masking shorter values would mask parts of ordinary words.
SHORTEST: Final = 3
#: Characters of a text times values, and escapes in it: each takes some ten milliseconds.
MOST_COMPARED: Final = 20_000_000
MOST_ESCAPES: Final = 100_000
#: Backslashes, also as addresses have them. Where a text was escaped again there are more, and more "25" behind a "%".
_SLASHES: Final = r"(?:\\|%(?:25)*+5[cC])++"
#: The escapes of Python and JSON, and those of addresses.
_ESCAPE: Final = re.compile(
    rf"(?P<utf16>(?:{_SLASHES}u[0-9a-fA-F]{{4}})++)|(?P<octets>(?:{_SLASHES}x[0-9a-fA-F]{{2}})++)"
    rf"|{_SLASHES}(?P<one>U00(?:0[0-9a-fA-F]|10)[0-9a-fA-F]{{4}}|[bfnrt'\"])?"
    r"|(?P<quoted>(?:%(?!(?:25)*+5[cC])(?:25(?=[0-9a-fA-F]{2}))*+[0-9a-fA-F]{2})++)|\+"
)
_MARK: Final = re.compile(f"{_SLASHES}[ux]")
_PERCENTS: Final = re.compile("%(?:25(?=[0-9a-fA-F]{2}))++")
_NAMED: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}

Names = frozenset[str]
NOTHING: Final[Names] = frozenset()


def sensitive_names() -> Names:
    """Return the keys to mask, in a form that :func:`masked` compares without regard to case."""
    names = jobs_settings.SENSITIVE_PARAMETERS
    # A tuple without its comma is one text, and not each of its letters is a name.
    return frozenset(str(name).casefold() for name in ([names] if isinstance(names, str) else names))


def hidden_from(user: Any) -> Names:
    """Return the keys whose values this user may not read; none for server code (None).

    A user needs the permission ``django_jobs.view_sensitive``; the owner of a job and the managers of all jobs need it
    too.
    """
    names = sensitive_names()
    if not names or user is None or _may_see(user):
        return NOTHING
    return names


def _may_see(user: Any) -> bool:
    has_perm = getattr(user, "has_perm", None)
    return has_perm is not None and bool(has_perm(PERMISSION))


def masked(value: Any, names: Names) -> Any:
    """Return the JSON value with what lies under one of these keys, however deep, replaced by the mask."""
    if not names:
        return value
    if isinstance(value, dict):
        return {key: MASK if str(key).casefold() in names else masked(inner, names) for key, inner in value.items()}
    if isinstance(value, list):
        return [masked(item, names) for item in value]
    return value


def mask_of(value: Any) -> Callable[[str], str]:
    """Return what masks the sensitive values of a JSON value where a text quotes them.

    Everybody who sees a job may read the text of its error. The values are those of now, whatever becomes of the JSON
    value. They are found as they stand, and as Python, JSON and addresses write them. Those of fewer than SHORTEST
    characters stay. A text that would take long, for its length and the number of values, is hidden whole.
    """
    names = sensitive_names()
    secrets = {secret for secret in _secrets(value, names) if len(secret) >= SHORTEST} if names else None
    return _Mask(secrets) if secrets else str


class _Mask:
    """Masks these values in texts, in a time that grows with the length of a text and with nothing else."""

    def __init__(self, secrets: Set[str]) -> None:
        self._secrets = secrets

    @cached_property
    def _unescaped(self) -> set[str]:
        """The values that are written in another way somewhere, without what differs."""
        odd = (secret for secret in self._secrets if not (secret.isascii() and secret.isalnum()))
        return {text for secret in odd if len(text := _without_escapes(secret).text) > 1}

    def __call__(self, text: str) -> str:
        escapes = sum(map(text.count, "\\%+")) if self._unescaped else 0
        if len(text) * len(self._secrets) > MOST_COMPARED or escapes > MOST_ESCAPES:
            return MASK
        spans = _places(self._secrets, text)
        if escapes:
            plain = _without_escapes(text)
            spans += [plain.span_before(*span) for span in _places(self._unescaped, plain.text)]
        return _cut_out(spans, text) if spans else text


def _places(secrets: Set[str], text: str) -> list[tuple[int, int]]:
    found = []
    for secret in secrets:
        start = text.find(secret)
        while start >= 0:
            found.append((start, start + len(secret)))
            start = text.find(secret, start + len(secret))
    return found


def _cut_out(spans: list[tuple[int, int]], text: str) -> str:
    parts: list[str] = []
    end = 0
    for start, stop in sorted(spans):
        if start >= end:
            parts += (text[end:start], MASK)
        end = max(end, stop)
    return "".join([*parts, text[end:]])


class _Unescaped(NamedTuple):
    """A text without escapes and backslashes. Its even parts stand as they did, each odd one was an escape.

    ``starts`` tells where each begins, ``before`` where it began with the escapes.
    """

    text: str
    starts: list[int]
    before: list[int]

    def span_before(self, start: int, stop: int) -> tuple[int, int]:
        """Return where a span of this text was in the one with escapes. A part of an escape stands for the whole."""
        first, last = bisect_right(self.starts, start) - 1, bisect_right(self.starts, stop - 1) - 1
        begin = self.before[first] + (0 if first % 2 else start - self.starts[first])
        return begin, self.before[last + 1] if last % 2 else self.before[last] + stop - self.starts[last]


def _without_escapes(text: str) -> _Unescaped:
    parts: list[str] = []
    starts, before = [0], [0]
    size = end = 0
    for found in _ESCAPE.finditer(text):
        meaning = _meaning(found)
        starts += (size := size + found.start() - end, size + len(meaning))
        before += found.span()
        parts += (text[end : found.start()], meaning)
        size, end = size + len(meaning), found.end()
    return _Unescaped("".join([*parts, text[end:]]), starts, before)


def _meaning(escape: re.Match[str]) -> str:
    """Return the characters that an escape stands for. Nobody knows how many backslashes were in the text: none is."""
    said = escape[0]
    if escape["utf16"]:
        return bytes.fromhex(_MARK.sub("", said)).decode("utf-16-be", "replace")
    if escape["octets"]:  # of one character each, or of UTF-8
        octets = bytes.fromhex(_MARK.sub("", said))
        text = octets.decode(errors="replace")
        return octets.decode("latin-1") if "\ufffd" in text else text
    if escape["quoted"]:
        return unquote(_PERCENTS.sub("%", said)).replace("+", " ")
    one = escape["one"] or ""
    return " " if said == "+" else chr(int(one[1:], 16)) if len(one) > 1 else _NAMED.get(one, one)


def _secrets(value: Any, names: Names) -> Iterator[str]:
    """Yield the text of each value that lies under one of these keys."""
    left: list[tuple[Any, bool]] = [(value, False)]
    while left:
        item, is_secret = left.pop()
        if isinstance(item, dict):
            left += [(inner, is_secret or str(key).casefold() in names) for key, inner in item.items()]
        elif isinstance(item, list):
            left += [(inner, is_secret) for inner in item]
        elif is_secret and not (item is None or isinstance(item, bool)):
            yield str(item)


# Parameters that come back from somebody who may not read all of them, with masks in the place of hidden values.


ROOT: Final = "parameters"


class MasksLeft(ValueError):
    """Edited parameters still hold masks. ``places`` are the dotted paths of the masks."""

    def __init__(self, places: Sequence[str]) -> None:
        super().__init__(say("The values at %(places)s have to be typed.", code="masked", places=", ".join(places)))
        self.places = places


def parameters_to_submit(edited: Any, original: Any, names: Names) -> Any:
    """Return what is submitted when somebody who may not read these keys sends an edited ``masked(original)`` back.

    What was not edited at all is the original, hidden values included: that job asks for nothing new. Any other
    parameters are taken as they were typed, since a hidden value must reach no job that somebody wrote without knowing
    it. Raises MasksLeft when they hold a mask.
    """
    if not names:
        return edited
    if _text(edited) == _text(masked(original, names)):
        return original
    if places := list(_masks_in(edited, original, names, ROOT)):
        raise MasksLeft(places)
    return edited


def _text(value: Any) -> str:
    """Return the value as text that tells 1, 1.0 and True apart."""
    return json.dumps(value, sort_keys=True)


def _masks_in(edited: Any, original: Any, names: Names, place: str) -> Iterator[str]:
    """Yield where masks stand. A text that the original shows in the same place is no mask, whatever it looks like."""
    if isinstance(edited, dict):
        known = original if isinstance(original, dict) else {}
        for key, inner in edited.items():
            before = None if str(key).casefold() in names else known.get(key)
            yield from _masks_in(inner, before, names, f"{place}.{key}")
    elif isinstance(edited, list):
        known_items = original if isinstance(original, list) else []
        for number, inner in enumerate(edited):
            before = known_items[number] if number < len(known_items) else None
            yield from _masks_in(inner, before, names, f"{place}.{number}")
    elif edited == MASK and original != MASK:
        yield place
