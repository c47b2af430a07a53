"""The name of a schedule as a part of an address. A name may have any printable characters, slashes too.

Servers and proxies undo ``%2F`` in different ways. So a character that must not stand in an address as it is becomes a
tilde and its number in two hexadecimal digits: ``reports/daily`` is ``reports~2Fdaily``. All else stands for itself.
"""

from __future__ import annotations

import re
from typing import Final

#: Names that an address may not end with as they are: another route, and what clients take for directories.
_TAKEN: Final = frozenset({"preview", ".", ".."})
_ESCAPE: Final = re.compile("~([0-9A-Fa-f]{2})")


def part_of(name: str) -> str:
    """Return the part of an address that stands for a schedule's name."""
    text = name.replace("~", "~7E").replace("/", "~2F").replace("\\", "~5C")
    return f"~{ord(text[0]):02X}{text[1:]}" if text in _TAKEN else text


def name_in(part: str) -> str:
    """Return the name that a part of an address stands for. A slash may also have come in as it is."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), part)
