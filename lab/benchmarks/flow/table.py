"""Figures with their targets beside them."""

from __future__ import annotations

from collections.abc import Sequence


class Table:
    """What a benchmark found; printed line by line."""

    def __init__(self, title: str) -> None:
        self.is_exact = True
        print(f"\n{title}\n{'':52}{'figure':>14}  {'target':16}")

    def say(self, what: str, figure: str, target: str = "", holds: bool | None = None) -> None:
        """Print a figure; with ``holds``, also whether the target is reached."""
        verdict = "" if holds is None else "ok" if holds else "missed"
        print(f"{what:52}{figure:>14}  {target:16}{verdict}".rstrip(), flush=True)

    def guarantee(self, what: str, figure: str, target: str, *, holds: bool) -> None:
        """Print a figure whose target must be reached, however slow the machine is."""
        self.is_exact &= holds
        print(f"{what:52}{figure:>14}  {target:16}{'exact' if holds else 'BROKEN'}", flush=True)

    def findings(self, found: Sequence[str]) -> None:
        """Print what must not be, each in a sentence."""
        self.is_exact &= not found
        for sentence in found[:10]:
            print(f"  - {sentence}")
        if len(found) > 10:
            print(f"  - … and {len(found) - 10} more")


def percentile(values: Sequence[float], part: float) -> float:
    """Return the value below which this part of all lies; 0 where there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:,.1f} ms"
