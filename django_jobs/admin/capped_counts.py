"""Numbers of jobs that were counted up to a bound, and how they are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: Of what lies behind a bound nothing is known, not even that it is nothing.
NOT_COUNTED: Final = "not counted"


@dataclass(frozen=True, slots=True, kw_only=True)
class CappedCount:
    """A number of jobs, or at least so many: ``is_cut`` when counting ended at a bound."""

    count: int
    is_cut: bool = False

    def __str__(self) -> str:
        if self.is_cut and not self.count:
            return NOT_COUNTED
        return f"{self.count:,}{'+' if self.is_cut else ''}"
