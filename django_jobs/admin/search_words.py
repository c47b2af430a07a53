"""How a typed search is split: pairs such as ``type:mails`` and ``customer.id:17``, or words that stand alone."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

#: The keys that name no parameter, and other spellings of them.
KEYS: Final = ("job", "batch", "type", "organization", "owner", "worker", "fingerprint", "error")
_SPELLINGS: Final = {"user": "owner", "org": "organization", "words": "error"}
#: Before a parameter's name it says that the name is no key.
PARAMETER: Final = "parameters."
MAX_PAIRS: Final = 5
_PAIR: Final = re.compile(r'\s*([^\s:"]+):("[^"]*"|[^\s"]\S*)(?=\s|\Z)')
_WHOLE: Final = re.compile(r"\s*(\w+):\s*(\S.*)", re.DOTALL)


class Pair(NamedTuple):
    """A key and a value. The key is one of KEYS, or the path of a parameter (``is_parameter``)."""

    key: str
    value: str
    is_parameter: bool


def pairs_of(text: str) -> list[Pair]:
    """Return the pairs that a text consists of; nothing if it has anything else in it, or one of our keys has no value.

    What follows ``error:`` is one value, however many words it has.
    """
    whole = _WHOLE.fullmatch(text)
    if whole is not None and key_of(whole[1]) == "error":
        return _with_values([Pair("error", unquoted(whole[2].strip()), is_parameter=False)])
    found: list[Pair] = []
    end = 0
    while (match := _PAIR.match(text, end)) is not None and len(found) < MAX_PAIRS:
        found.append(_pair(match[1], match[2]))
        end = match.end()
    return _with_values(found) if not text[end:].strip() else []


def _with_values(pairs: list[Pair]) -> list[Pair]:
    """Return the pairs; none where the value of one is blank: without it the others would find more."""
    return pairs if all(pair.value.strip() for pair in pairs) else []


def _pair(name: str, value: str) -> Pair:
    if name.startswith(PARAMETER):
        return Pair(name.removeprefix(PARAMETER), value, is_parameter=True)
    key = key_of(name)
    return Pair(name, value, is_parameter=True) if key is None else Pair(key, unquoted(value), is_parameter=False)


def key_of(name: str) -> str | None:
    """Return the key that is spelled so; None for a parameter's name."""
    key = _SPELLINGS.get(name.lower(), name.lower())
    return key if key in KEYS else None


def pair_text(key: str, value: str) -> str:
    """Return the search for one pair, which is understood in no other way."""
    return f'{key}:"{value}"' if re.search(r"\s", value) and key != "error" else f"{key}:{value}"


def unquoted(value: str) -> str:
    """Return a value without the quotation marks around it."""
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value
