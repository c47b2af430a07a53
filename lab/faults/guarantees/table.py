"""What was measured, as the table of the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BEGIN: Final = "<!-- measured by: python -m lab.faults.guarantees --write -->"
END: Final = "<!-- end of what was measured -->"


@dataclass(frozen=True, slots=True)
class Measured:
    """One promise, and what was measured for it, in ``unit``s."""

    event: str
    outcome: str
    bound: float
    #: The bound in words, where it depends on a setting.
    promised: str
    values: Sequence[float]
    unit: str = "s"

    @property
    def holds(self) -> bool:
        """Whether the worst value is within the bound."""
        return max(self.values) <= self.bound

    @property
    def worst(self) -> str:
        """The worst value, and how many there are."""
        return f"{max(self.values):.1f} {self.unit} ({len(self.values)})"

    def __str__(self) -> str:
        values = ", ".join(f"{value:.2f}" for value in self.values)
        return f"{values} {self.unit} (at most {self.promised}){'' if self.holds else ' MISSED'}"


def as_markdown(measured: Sequence[Measured]) -> str:
    """Return the table."""
    rows = ["| what happens | and then | promised | measured (worst of) |", "|---|---|---|---|"]
    rows += [f"| {item.event} | {item.outcome} | ≤ {item.promised} | {item.worst} |" for item in measured]
    return "\n".join(rows)


def put_into(page: Path, table: str) -> None:
    """Put the table between the page's two marks."""
    text = page.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}")
