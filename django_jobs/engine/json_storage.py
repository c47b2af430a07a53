"""Making values storable: as JSON of Django's encoder, without what some database cannot store."""

from __future__ import annotations

import json
from typing import Any, Final, TypeAlias

from django.core.serializers.json import DjangoJSONEncoder

from django_jobs.texts import Text, code_of, say

#: Levels of nesting. MariaDB takes 32 at most, and JSON readers are recursive.
MAX_DEPTH = 30
#: What comes back from JSON as it went in, and cannot be changed by whoever else holds it.
_ATOMS: Final = frozenset({str, int, float, bool, type(None)})
_TEXT: Final = frozenset({str})
_HOLDERS: Final = frozenset({list, dict})
# Made once: ``json.dumps`` makes an encoder for each call with an argument of its own, ``json.loads`` checks more.
_encode: Final = DjangoJSONEncoder(allow_nan=False).encode
_decode: Final = json.JSONDecoder().raw_decode
#: The JSON text that equal values have in common, whatever the order of their keys.
canonical: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode

#: JSON of a value, the value as it will be read back from the database, and whether the text is the canonical one.
Encoded: TypeAlias = tuple[str, Any, bool]


class NotStorable(ValueError):
    """The value cannot be stored as JSON; the message says which part and why, and its code says why."""

    @property
    def code(self) -> str:
        return code_of(self.args[0], "not_storable")


def storable(value: Any, what: str, max_bytes: int) -> Any:
    """Return ``value`` as it will be read back from the database. Raises what :func:`encoded` does."""
    return encoded(value, what, max_bytes)[1]


def encoded(value: Any, what: str, max_bytes: int) -> Encoded:
    """Return JSON of ``value``. A flat one, as most parameters are, has its canonical text, and need not be decoded.

    Raises NotStorable for types without a JSON form, NaN and infinities, NUL characters, lone surrogates, and for
    more than ``max_bytes`` of JSON. ``what`` names the value in the message.
    """
    is_flat = _is_flat(value)
    try:
        text = canonical(value) if is_flat else _encode(value)
        plain = _copy(value) if is_flat else _decode(text)[0]
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise NotStorable(_reason(error, what)) from error
    # ASCII JSON carries these by their escapes alone. A backslash that is text is doubled, so what was read is asked.
    is_suspect = "\\u0000" in text or "\\ud" in text
    if is_suspect and (part := unstorable_part(_strings(plain))):
        raise NotStorable(
            say("%(what)s cannot be stored as JSON: it holds %(part)s.", code="unstorable_text", what=what, part=part)
        )
    size = len(text) + (_spaces(plain) if is_flat else 0)  # a canonical text has no space behind its separators
    if size > max_bytes:
        text = "%(what)s takes %(size)d bytes as JSON; at most %(most)d are accepted."
        raise NotStorable(say(text, code="too_large", what=what, size=size, most=max_bytes))
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(plain) > MAX_DEPTH:
        raise NotStorable(
            say("%(what)s is nested more than %(most)d levels deep.", code="too_deep", what=what, most=MAX_DEPTH)
        )
    return text, plain, is_flat


def _is_flat(value: Any) -> bool:
    """Return whether it is a dict of texts, numbers and the like, and not empty; lists and dicts of these may be in it.

    That is so of most parameters, and of a task's arguments.
    """
    if type(value) is not dict or not value or not _TEXT.issuperset(map(type, value)):
        return False
    return _ATOMS.issuperset(map(type, value.values())) or all(map(_is_small, value.values()))


def _is_small(value: Any) -> bool:
    kind = type(value)
    if kind is list:
        return _ATOMS.issuperset(map(type, value))
    if kind is dict:
        return _TEXT.issuperset(map(type, value)) and _ATOMS.issuperset(map(type, value.values()))
    return kind in _ATOMS


def _copy(value: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of a flat value, of which nothing is the caller's."""
    return {name: item.copy() if type(item) in _HOLDERS else item for name, item in value.items()}


def _spaces(value: dict[str, Any]) -> int:
    """Return how many spaces Django's encoder writes behind the separators of a flat value."""
    count = 2 * len(value) - 1
    for item in value.values():
        if type(item) in _HOLDERS and item:
            count += len(item) - 1 if type(item) is list else 2 * len(item) - 1
    return count


def _depth(value: Any) -> int:
    """Return how many levels of lists and objects are nested."""
    depth = 0
    level = [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [inner for item in level for inner in (item.values() if isinstance(item, dict) else item)]
    return depth


def _strings(value: Any) -> str:
    """Return all text inside a JSON value, joined. There is no recursion: the value may be nested very deeply."""
    texts: list[str] = []
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, str):
            texts.append(item)
        elif isinstance(item, dict):
            texts += item
            left += item.values()
        elif isinstance(item, list):
            left += item
    return "\n".join(texts)


def _reason(error: Exception, what: str) -> Text:
    code, reason = "not_json", str(error).removesuffix(".")
    if isinstance(error, RecursionError):
        code, reason = "too_deep", "it is nested too deeply or contains itself"
    elif "not JSON compliant" in reason:
        code, reason = "not_finite", "NaN and Infinity have no JSON form"
    return say("%(what)s cannot be stored as JSON: %(reason)s.", code=code, what=what, reason=reason)


def unstorable_part(text: str) -> str | None:
    """Return what some database cannot store of a text: "a NUL character", "a lone surrogate" or None."""
    if "\x00" in text:
        return "a NUL character"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "a lone surrogate"
    return None


def is_storable_text(text: str) -> bool:
    """Tell whether every database can store a text of these characters."""
    return unstorable_part(text) is None


def clean_text(value: object, limit: int | None = None) -> str:
    """Return the text in a form that every database can store, with an ellipsis after at most ``limit`` characters.

    A NUL becomes U+FFFD, a lone surrogate a question mark.
    """
    text = str(value).replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    if limit is not None and len(text) > limit:
        return text[: limit - 1] + "…"
    return text


def is_same(one: object, other: object) -> bool:
    """Return whether two values of a field say the same: in JSON 1 and true do not, as they do in Python."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return one == other
    first, second = (json.dumps(value, cls=DjangoJSONEncoder, sort_keys=True) for value in (one, other))
    return first == second
