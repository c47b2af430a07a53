"""What the diagnostics of the running setup report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

OK: Final = "OK"
WARNING: Final = "WARNING"
PROBLEM: Final = "PROBLEM"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A finding. ``level`` is OK, WARNING or PROBLEM; ``text`` says what is so and what to do."""

    level: str
    subject: str
    text: str
