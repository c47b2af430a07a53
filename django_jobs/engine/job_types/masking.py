"""Masking sensitive values: whoever may not read them gets a mask in the place of each.

The setting ``SENSITIVE_PARAMETERS`` names their keys. Handlers, signals and server code without a user get the values
themselves. Every endpoint that answers a person asks :func:`hidden_from` and shows ``masked(value, names)``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import quote, quote_plus

from django_jobs.conf import jobs_settings

MASK: Final = "********"
PERMISSION: Final = "django_jobs.view_sensitive"
#: Characters. Masking shorter values would mask parts of ordinary words.
SHORTEST: Final = 3

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


def without_secrets(text: str, value: Any) -> str:
    """Return the text with the sensitive values of a JSON value masked where it quotes them.

    Everybody who sees a job may read the text of its error. Values of fewer than SHORTEST characters stay.
    """
    return mask_of(value)(text) if text else text


def mask_of(value: Any) -> Callable[[str], str]:
    """Return what masks the sensitive values of a JSON value in texts, as :func:`without_secrets` does in one.

    It masks those that the value has now, whatever becomes of it.
    """
    names = sensitive_names()
    found = {spelling for secret in _secrets(value, names) for spelling in _spellings(secret)} if names else ()
    secrets = sorted(found, key=len, reverse=True)

    def mask(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, MASK)
        return text

    return mask


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


def _spellings(secret: str) -> Iterator[str]:
    """Yield the secret as it stands, as Python and JSON write it inside quotation marks, and as addresses have it."""
    if len(secret) >= SHORTEST:
        yield from (secret, repr(secret)[1:-1], json.dumps(secret)[1:-1])
        yield from (quote(secret, safe, errors="replace") for safe in ("", "/"))
        yield quote_plus(secret, errors="replace")
