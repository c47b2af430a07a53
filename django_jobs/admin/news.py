"""What an open page has read out when it has changed by itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """A sentence with the name of what the page is about, how that stands, and why.

    It is read out when its ``state`` is another one. If only its numbers are, it is read out once a minute at most.
    """

    text: str
    state: str


def sentence(*parts: str) -> str:
    """Return the parts that say something, as sentences of one line."""
    said = (" ".join(part.split()) for part in parts if part and not part.isspace())
    return " ".join(part if part.endswith((".", "!", "?", "…")) else f"{part}." for part in said)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that is wrong.

    ``code`` says in a word what; ``level`` is one of Django's message tags; ``advice`` is for those who run the
    system. ``links`` are words and addresses of pages that tell more, ``buttons`` those of pages that ask before they
    act. ``alarm`` is the key of the alarm that tells the same, or its rule where any of the rule does.
    """

    level: str
    code: str
    text: str
    advice: str = ""
    links: tuple[tuple[str, str], ...] = ()
    buttons: tuple[tuple[str, str], ...] = ()
    alarm: str = ""

    def is_told_by(self, keys: Iterable[str]) -> bool:
        """Return whether one of the open alarms, given by their keys, tells the same."""
        return bool(self.alarm) and any(f"{key}:".startswith(f"{self.alarm}:") for key in keys)
