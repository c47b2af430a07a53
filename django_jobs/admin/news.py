"""What an open page has read out when it has changed by itself."""

from __future__ import annotations

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
