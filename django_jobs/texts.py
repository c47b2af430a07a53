"""Texts that are English wherever they are stored, sent or logged, and that a page can show in another language; how
the active language separates the items of a list, and keeps a text's direction; and moments where people read them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from django.utils.timezone import localtime
from django.utils.translation import get_language_bidi, gettext, override, pgettext


def marked(pattern: str) -> str:
    """Return a pattern as it is, marked for translation by its call as ``_``. Unlike Django's, it needs no settings."""
    return pattern


class Text(str):
    """A text in English that knows its code, and of which pattern and values it was made.

    Code decides by ``code``, such as ``"closed"``, and by the values, never by the wording.
    """

    __slots__ = ("code", "pattern", "values")

    code: str
    pattern: str
    values: dict[str, Any]


def say(pattern: str, *, code: str = "", **values: Any) -> Text:
    """Return the text of a pattern, which is marked for translation, with its values and its code."""
    text = Text(pattern % values if values else pattern)
    text.code, text.pattern, text.values = code, pattern, values
    return text


def code_of(text: object, default: str = "invalid") -> str:
    """Return the code of a text, of ours or of Django's REST framework; ``default`` where it has none."""
    return getattr(text, "code", None) or default


def told(error: Exception) -> str:
    """Return what an exception says, in the active language if its text knows how."""
    return translated(error.args[0]) if error.args else str(error)


def said(error: BaseException) -> Text:
    """Return what an exception says, in English, with its code."""
    text = error.args[0] if error.args else ""
    if isinstance(text, Text) and text.code:
        return text
    return say("%(text)s", code=getattr(error, "code", ""), text=str(error))


def in_english(text: object) -> str:
    """Return a text, which may be a lazy translation, as it stands in the code, whatever language is active."""
    with override(None):
        return str(text)


def translated(text: Any) -> str:
    """Return a text in the active language; a plain one as it is."""
    if not isinstance(text, Text):
        return str(text)
    values = {name: translated(value) if isinstance(value, Text) else value for name, value in text.values.items()}
    return gettext(text.pattern) % values if values else gettext(text.pattern)


def in_current_zone(moment: dt.datetime) -> dt.datetime:
    """Return a moment in the current time zone; one at the ends of the calendar, which not every zone has, as it is.

    People write "never" as the last second of the year 9999.
    """
    try:
        return localtime(moment)
    except OverflowError:
        return moment


def comma() -> str:
    """Return what stands between the items of a list in the active language."""
    # Translators: between the items of a list: a comma and a blank.
    return pgettext("between items", ", ")


def listed(items: Iterable[str]) -> str:
    """Return texts as a list in one line, as the active language separates them."""
    return comma().join(items)


def in_clauses(parts: Iterable[str]) -> str:
    """Return texts that have commas themselves in one line, as the active language separates them."""
    # Translators: between parts that have commas themselves: a semicolon and a blank.
    return pgettext("between clauses", "; ").join(parts)


def isolated(text: str) -> str:
    """Return the text as one that keeps its own direction; as it is where the language runs from left to right."""
    return f"\u2068{text}\u2069" if get_language_bidi() else text


def left_to_right(text: str) -> str:
    """Return the text as one that runs from left to right; as it is where the language does so."""
    return f"\u2066{text}\u2069" if get_language_bidi() else text
