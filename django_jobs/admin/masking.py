"""Masked JSON as text for people, and masks that come back from a form."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from django_jobs.engine.masking import MASK, Names, masked, sensitive_names

#: Unicode's marks, embeddings, overrides and isolates of direction.
_TURNING: Final = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class MaskMoved(ValueError):
    """A mask stands where nothing was masked before, so that nobody knows what it stands for; ``place`` says where."""

    def __init__(self, place: str) -> None:
        super().__init__(f"{place}: what the mask stood for is not known here; type the value.")
        self.place = place


def unmasked(edited: Any, original: Any, place: str = "parameters") -> Any:
    """An edited copy of ``masked(original)`` with every mask that was left where it stood replaced by what it hides.

    A value that was typed over a mask stays. Raises MaskMoved for a mask that stands anywhere else.
    """
    return _unmasked(edited, original, place, sensitive_names())


def _unmasked(edited: Any, original: Any, place: str, names: Names) -> Any:
    if edited == MASK and names and original != MASK:
        raise MaskMoved(place)
    if isinstance(edited, dict):
        known = original if isinstance(original, dict) else {}
        return {key: _inside(key, inner, known, f"{place}.{key}", names) for key, inner in edited.items()}
    if isinstance(edited, list):
        before = original if isinstance(original, list) and len(original) == len(edited) else [None] * len(edited)
        return [_item(item, before[number], f"{place}.{number}", names) for number, item in enumerate(edited)]
    return edited


def _inside(key: Any, edited: Any, before: dict[str, Any], place: str, names: Names) -> Any:
    if edited == MASK and key in before and str(key).casefold() in names:
        return before[key]
    return _unmasked(edited, before.get(key), place, names)


def _item(edited: Any, original: Any, place: str, names: Names) -> Any:
    """An item of a list is the same as before only if everything readable in it is: items may have been swapped."""
    return original if edited == masked(original, names) else _unmasked(edited, None, place, names)


def json_of(value: Any, names: Names) -> str:
    """A JSON value for people, with what lies under these keys masked.

    What would turn the text around it is written as its escape.
    """
    try:
        text = json.dumps(masked(value, names), indent=2, ensure_ascii=False)
    except RecursionError:
        return "(nested too deeply to be shown)"
    return _TURNING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
