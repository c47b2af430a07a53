"""Durations as people write and read them."""

from __future__ import annotations

import re
from typing import Any, Final

from django import forms
from django.contrib.admin.widgets import AdminTextInputWidget
from django.core.exceptions import ValidationError

UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
HELP: Final = "Such as 90, 5 min or 1 h 30 min; a number alone is in seconds."
SECONDS: Final = {
    **dict.fromkeys(("", "s", "sec", "secs", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3_600),
    **dict.fromkeys(("d", "day", "days"), 86_400),
}
#: From so many of one unit on, smaller units are not told.
FEW: Final = 10
_PART: Final = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*([a-z]*)\s*,?\s*")


def format_duration(seconds: int) -> str:
    """Return a whole number of seconds exactly, such as ``1 h 30 min``."""
    parts = []
    for size, unit in UNITS:
        count, seconds = divmod(seconds, size)
        parts += [f"{count} {unit}"] if count else []
    return " ".join(parts) or "0 s"


def brief_duration(seconds: float) -> str:
    """Return a measured time as exactly as people need it: ``240 ms``, ``3.4 s``, ``2 h 5 min``, ``12 h``."""
    seconds = max(0.0, seconds)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if round(seconds, 1) < FEW:
        return f"{seconds:.1f} s"
    count, unit, *rest = format_duration(round(seconds)).split(" ")
    return " ".join([count, unit, *(rest[:2] if int(count) < FEW else [])])


def parse_duration(text: str) -> int:
    """Return the seconds that ``90``, ``5 min`` or ``1h 30m`` stand for. Raise ValueError for anything else."""
    total, place, words = 0.0, 0, text.strip().lower()
    while place < len(words):
        match = _PART.match(words, place)
        is_bare = match is not None and not match[2] and match[0] != words
        if match is None or is_bare or match[2] not in SECONDS:
            raise ValueError(f"{text!r} is no duration.")
        total += float(match[1]) * SECONDS[match[2]]
        place = match.end()
    if not words or total != int(total):
        raise ValueError(f"{text!r} is no whole number of seconds.")
    return int(total)


class DurationField(forms.IntegerField):
    """A number of seconds that people see and type as a duration."""

    widget = AdminTextInputWidget

    def prepare_value(self, value: Any) -> Any:
        return format_duration(value) if isinstance(value, int) and not isinstance(value, bool) else value

    def to_python(self, value: Any) -> int | None:
        if value in self.empty_values:
            return None
        try:
            return parse_duration(str(value))
        except ValueError as error:
            raise ValidationError(f"This is no duration. {HELP}", code="invalid") from error

    def widget_attrs(self, widget: forms.Widget) -> dict[str, Any]:
        return {}  # the bounds are numbers, which a text input knows nothing of

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.to_python(initial) != self.to_python(data))
        except ValidationError:
            return True
