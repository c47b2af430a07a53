"""Parameters that come back from somebody who may not read all of them, with masks in the place of hidden values."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from django_jobs.engine.job_types.masking import MASK, Names, masked
from django_jobs.texts import say

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
