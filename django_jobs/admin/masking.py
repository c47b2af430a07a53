"""Values that nobody needs to read: what the setting ``SENSITIVE_PARAMETERS`` names is shown as a mask."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from django_jobs.conf import jobs_settings

MASK: Final = "********"
#: Unicode's marks, embeddings, overrides and isolates of direction.
_TURNING: Final = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class MaskMoved(ValueError):
    """A mask stands where nothing was masked before, so that nobody knows what it stands for; ``place`` says where."""

    def __init__(self, place: str) -> None:
        super().__init__(f"{place}: what the mask stood for is not known here; type the value.")
        self.place = place


def sensitive_names() -> frozenset[str]:
    """The keys to mask, in lower case."""
    return frozenset(str(name).casefold() for name in jobs_settings.SENSITIVE_PARAMETERS)


def masked(value: Any, names: frozenset[str] | None = None) -> Any:
    """A copy of a JSON value with what lies under a sensitive key, however deep, masked."""
    names = sensitive_names() if names is None else names
    if isinstance(value, dict):
        return {key: MASK if str(key).casefold() in names else masked(inner, names) for key, inner in value.items()}
    if isinstance(value, list):
        return [masked(item, names) for item in value]
    return value


def unmasked(edited: Any, original: Any, place: str = "parameters") -> Any:
    """An edited copy of ``masked(original)`` with every mask that was left where it stood replaced by what it hides.

    A value that was typed over a mask stays. Raises MaskMoved for a mask that stands anywhere else.
    """
    return _unmasked(edited, original, place, sensitive_names())


def _unmasked(edited: Any, original: Any, place: str, names: frozenset[str]) -> Any:
    if edited == MASK and names and original != MASK:
        raise MaskMoved(place)
    if isinstance(edited, dict):
        known = original if isinstance(original, dict) else {}
        return {key: _inside(key, inner, known, f"{place}.{key}", names) for key, inner in edited.items()}
    if isinstance(edited, list):
        before = original if isinstance(original, list) and len(original) == len(edited) else [None] * len(edited)
        return [_item(item, before[number], f"{place}.{number}", names) for number, item in enumerate(edited)]
    return edited


def _inside(key: Any, edited: Any, before: dict[str, Any], place: str, names: frozenset[str]) -> Any:
    if edited == MASK and key in before and str(key).casefold() in names:
        return before[key]
    return _unmasked(edited, before.get(key), place, names)


def _item(edited: Any, original: Any, place: str, names: frozenset[str]) -> Any:
    """An item of a list is the same as before only if everything readable in it is: items may have been swapped."""
    return original if edited == masked(original, names) else _unmasked(edited, None, place, names)


def json_of(value: Any) -> str:
    """A JSON value for people, sensitive keys masked; what would turn the text around it is written as its escape."""
    try:
        text = json.dumps(masked(value), indent=2, ensure_ascii=False)
    except RecursionError:
        return "(nested too deeply to be shown)"
    return _TURNING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
