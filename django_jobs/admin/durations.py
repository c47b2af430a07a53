"""Durations as people write and read them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from django import forms
from django.contrib.admin.widgets import AdminTextInputWidget
from django.core.exceptions import ValidationError
from django.utils.formats import get_format
from django.utils.translation import gettext, gettext_lazy, ngettext_lazy

from django_jobs.admin.numbers import format_number

#: Each unit's seconds, its sign in every language, and how people read so many of it in theirs.
UNITS: Final = (
    # Translators: days, as short as they are understood beside hours: "3 d 4 h".
    (86_400, "d", ngettext_lazy("%(count)d d", "%(count)d d", "count")),
    # Translators: hours, as short as they are understood.
    (3_600, "h", ngettext_lazy("%(count)d h", "%(count)d h", "count")),
    # Translators: minutes, as short as they are understood.
    (60, "min", ngettext_lazy("%(count)d min", "%(count)d min", "count")),
    # Translators: seconds, as short as they are understood.
    (1, "s", ngettext_lazy("%(count)d s", "%(count)d s", "count")),
)
HELP: Final = gettext_lazy("Such as 90, 5 min or 1 h 30 min; a number alone is in seconds.")
SECONDS: Final = {
    **dict.fromkeys(("", "s", "sec", "secs", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3_600),
    **dict.fromkeys(("d", "day", "days"), 86_400),
}
#: What else people may write in their language, in small letters and with blanks between the words.
OWN_WORDS: Final = (
    # Translators: words for seconds that people may type, in small letters, with blanks between them.
    (1, gettext_lazy("second seconds")),
    # Translators: words for minutes that people may type, in small letters, with blanks between them.
    (60, gettext_lazy("minute minutes")),
    # Translators: words for hours that people may type, in small letters, with blanks between them.
    (3_600, gettext_lazy("hour hours")),
    # Translators: words for days that people may type, in small letters, with blanks between them.
    (86_400, gettext_lazy("day days")),
)
#: From so many of one unit on, smaller units are not told.
FEW: Final = 10
_PART: Final = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*([^\W\d_]*)\.?\s*,?\s*")


def format_duration(seconds: int) -> str:
    """Return a whole number of seconds exactly, such as ``1 h 30 min``, in the active language."""
    return " ".join(_parts(seconds))


def _parts(seconds: int) -> list[str]:
    counts = [(count, words) for count, _, words in _counts(seconds) if count]
    return [words % {"count": count} for count, words in counts or [(0, UNITS[-1][2])]]


def _counts(seconds: int) -> Iterator[tuple[int, str, Any]]:
    for size, sign, words in UNITS:
        count, seconds = divmod(seconds, size)
        yield count, sign, words


def typed_duration(seconds: int) -> str:
    """Return a whole number of seconds as every language's form takes it, such as ``1 h 30 min``."""
    return " ".join(f"{count} {sign}" for count, sign, _ in _counts(seconds) if count) or "0 s"


def brief_duration(seconds: float) -> str:
    """Return a measured time as exactly as people need it: ``240 ms``, ``3.4 s``, ``2 h 5 min``, ``12 h``."""
    seconds = max(0.0, seconds)
    if seconds < 1:
        # Translators: a very short time, in milliseconds.
        return gettext("%(count)d ms") % {"count": round(seconds * 1000)}
    if round(seconds, 1) < FEW:
        # Translators: a short time in seconds, such as "3.4 s".
        return gettext("%(seconds)s s") % {"seconds": format_number(seconds, 1)}
    first = next(count for count, *_ in _counts(round(seconds)) if count)
    return " ".join(_parts(round(seconds))[: 2 if first < FEW else 1])


def parse_duration(text: str) -> int:
    """Return the seconds that ``90``, ``5 min`` or ``1h 30m`` stand for. Raise ValueError for anything else."""
    total, place, words = 0.0, 0, _with_points(text.strip().lower())
    known = {**SECONDS, **{word: size for size, own in OWN_WORDS for word in str(own).split()}}
    while place < len(words):
        match = _PART.match(words, place)
        is_bare = match is not None and not match[2] and match[0] != words
        if match is None or is_bare or match[2] not in known:
            raise ValueError(f"{text!r} is no duration.")
        total += float(match[1]) * known[match[2]]
        place = match.end()
    if not words or total != int(total):
        raise ValueError(f"{text!r} is no whole number of seconds.")
    return int(total)


def _with_points(text: str) -> str:
    """Return the text with a point in each number that has the language's own sign of decimals."""
    sign = re.escape(str(get_format("DECIMAL_SEPARATOR")))
    return re.sub(rf"(?<=\d){sign}(?=\d)", ".", text)


class DurationField(forms.IntegerField):
    """A number of seconds that people see and type as a duration."""

    widget = AdminTextInputWidget

    def prepare_value(self, value: Any) -> Any:
        return typed_duration(value) if isinstance(value, int) and not isinstance(value, bool) else value

    def to_python(self, value: Any) -> int | None:
        if value in self.empty_values:
            return None
        try:
            return parse_duration(str(value))
        except ValueError as error:
            raise ValidationError(
                gettext_lazy("This is no duration. Write for example 90, 5 min or 1 h 30 min."), code="invalid"
            ) from error

    def widget_attrs(self, widget: forms.Widget) -> dict[str, Any]:
        return {"dir": "auto"}  # no bounds: these are numbers, which a text input knows nothing of

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.to_python(initial) != self.to_python(data))
        except ValidationError:
            return True
