"""Figures of several rounds: medians, spreads, and how ours compare with each peer's."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

Item = TypeVar("Item")

OURS: Final = "django_jobs"

#: By round, peer and measure. A round lacks what a peer cannot do or failed at.
Rounds = Sequence[Mapping[str, Mapping[str, float]]]


class Measure(NamedTuple):
    """What is measured, its unit, and whether more of it is better."""

    title: str
    unit: str
    more_is_better: bool
    decimals: int = 0


MEASURES: Final = {
    "submit": Measure("Submit one by one", "jobs/s", more_is_better=True),
    "bulk": Measure("Submit in bulk", "jobs/s", more_is_better=True),
    "drain": Measure("Drain no-op jobs", "jobs/s", more_is_better=True),
    "cpu": Measure("CPU of the workers", "µs a job", more_is_better=False),
    "waits": Measure("Drain waits of 10 ms, 2 by 50", "jobs/s", more_is_better=True),
    "p50": Measure("Latency, median", "ms", more_is_better=False, decimals=1),
    "p95": Measure("Latency, p95", "ms", more_is_better=False, decimals=1),
    "p99": Measure("Latency, p99", "ms", more_is_better=False, decimals=1),
    "memory": Measure("Memory of all processes (PSS)", "MB", more_is_better=False),
    "idle": Measure("CPU at rest", "% of a core", more_is_better=False, decimals=1),
}


class Spread(NamedTuple):
    """The median of some rounds, and their lowest and highest."""

    median: float
    low: float
    high: float

    def text(self, decimals: int) -> str:
        """Say it in words: the median and, where rounds differ, between what they lay."""
        median, low, high = (f"{value:,.{decimals}f}" for value in self)
        return median if low == high else f"{median} ({low} to {high})"


def spread(values: Iterable[float]) -> Spread | None:
    """Return the spread of some values, or None where there are none."""
    found = sorted(values)
    return Spread(statistics.median(found), found[0], found[-1]) if found else None


def figures(rounds: Rounds, peer: str, measure: str) -> Spread | None:
    """Return what a peer's rounds gave for a measure."""
    return spread(found[peer][measure] for found in rounds if measure in found.get(peer, {}))


def ratios(rounds: Rounds, peer: str, measure: str) -> Spread | None:
    """Return how many times as good as the peer's our figures are.

    Each round, whose parts lie close in time, gives one ratio. More than 1 means that ours is faster or lighter.
    """
    found = []
    for item in rounds:
        ours, theirs = item.get(OURS, {}).get(measure), item.get(peer, {}).get(measure)
        if ours and theirs:
            found.append(ours / theirs if MEASURES[measure].more_is_better else theirs / ours)
    return spread(found)


def rotated(items: Sequence[Item], steps: int) -> list[Item]:
    """Return some items in their order but from another one on: nobody is always the first."""
    start = steps % len(items)
    return [*items[start:], *items[:start]]


def table(rounds: Rounds, measure: str, peers: Iterable[str]) -> str:
    """Return a measure as a table in Markdown, the best first."""
    kind = MEASURES[measure]
    rows = [(peer, figures(rounds, peer, measure), ratios(rounds, peer, measure)) for peer in peers]
    known = [(peer, figure, ratio) for peer, figure, ratio in rows if figure]
    known.sort(key=lambda row: row[1].median, reverse=kind.more_is_better)
    lines = [f"| {kind.title} | {kind.unit} | ours is so many times as good |", "|---|---|---|"]
    for peer, figure, ratio in known:
        compared = ratio.text(2) if ratio and peer != OURS else ""
        lines.append(f"| {peer} | {figure.text(kind.decimals)} | {compared} |")
    return "\n".join(lines)


def overview(rounds: Rounds, peers: Iterable[str], measures: Sequence[str], *, compared: bool) -> str:
    """Return several measures as one table in Markdown: all figures or, where they are compared, all ratios."""
    heads = [MEASURES[name].title + ("" if compared else f", {MEASURES[name].unit}") for name in measures]
    lines = ["| | " + " | ".join(heads) + " |", "|---|" + "---|" * len(measures)]
    for peer in peers:
        if not (compared and peer == OURS):
            cells = (_cell(rounds, peer, name, compared=compared) for name in measures)
            lines.append(f"| {peer} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(rounds: Rounds, peer: str, measure: str, *, compared: bool) -> str:
    found = ratios(rounds, peer, measure) if compared else figures(rounds, peer, measure)
    decimals = 2 if compared else MEASURES[measure].decimals
    return found.text(decimals) if found else ""
