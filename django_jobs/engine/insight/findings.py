"""What the diagnostics of the running setup report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django_jobs.texts import Text, code_of

OK: Final = "OK"
WARNING: Final = "WARNING"
PROBLEM: Final = "PROBLEM"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A finding. ``level`` is OK, WARNING or PROBLEM; ``text`` says what is so and what to do, and has the code."""

    level: str
    subject: str
    text: str

    @property
    def code(self) -> str:
        """What is so, in a word."""
        return code_of(self.text, "")

    @property
    def facts(self) -> Mapping[str, Any]:
        """The values that the text names."""
        return self.text.values if isinstance(self.text, Text) else {}
