"""A plot of the figures as SVG: one panel for each measure, one bar for each peer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final
from xml.sax.saxutils import escape

from lab.benchmarks.peers.figures import MEASURES, OURS, Rounds, Spread, figures

SHOWN: Final = ("submit", "bulk", "drain", "cpu", "waits", "p50", "memory", "idle")
COLUMNS: Final = 2
PANEL: Final = 560
NAMES: Final = 130
BAR_LENGTH: Final = 270
ROW: Final = 18
HEAD: Final = 52
FOOT: Final = 34
TOP: Final = 66

_STYLE: Final = (
    "text{font:12px sans-serif;fill:#222}.t{font-weight:bold;font-size:14px}.s{fill:#555}.g{stroke:#ddd}"
    ".o{fill:#0b6e4f}.p{fill:#9db4c0}.w{stroke:#222}"
)


class Axis:
    """A logarithmic axis between the powers of ten around some values."""

    def __init__(self, values: Sequence[float]) -> None:
        above_zero = [value for value in values if value > 0] or [1.0]
        self.low = math.floor(math.log10(min(above_zero)))
        self.high = max(math.ceil(math.log10(max(above_zero))), self.low + 1)

    def place(self, value: float) -> float:
        """Return how many pixels from its start a value lies. Zero lies there too, though no such axis has one."""
        if value <= 0:
            return 0.0
        part = (math.log10(value) - self.low) / (self.high - self.low)
        return BAR_LENGTH * min(1.0, max(0.0, part))

    def ticks(self) -> list[float]:
        """Return the powers of ten that it shows."""
        return [10.0**power for power in range(self.low, self.high + 1)]


def draw(rounds: Rounds, peers: Sequence[str], note: str) -> str:
    """Return the plot of all measures that any peer has a figure for."""
    panels = []
    for measure in SHOWN:
        found = {peer: figure for peer in peers if (figure := figures(rounds, peer, measure))}
        if found:
            panels.append((measure, found))
    height = HEAD + ROW * len(peers) + FOOT
    rows = math.ceil(len(panels) / COLUMNS)
    parts = [
        _text(12, 24, "django_jobs beside other task queues", "t"),
        _text(12, 43, note, "s"),
        _text(12, 59, "Logarithmic axes: each line is ten times the one before it. A thin line shows the rounds.", "s"),
    ]
    for number, (measure, found) in enumerate(panels):
        place = (number % COLUMNS) * PANEL, TOP + (number // COLUMNS) * height
        parts.append(f'<g transform="translate({place[0]},{place[1]})">{_panel(measure, found)}</g>')
    size = f'width="{COLUMNS * PANEL}" height="{TOP + rows * height}"'
    head = f"<title>django_jobs beside other task queues</title><style>{_STYLE}</style>{_ground()}"
    return f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size}>{head}{"".join(parts)}</svg>\n'


def _panel(measure: str, found: Mapping[str, Spread]) -> str:
    kind = MEASURES[measure]
    axis = Axis([value for figure in found.values() for value in figure])
    better = "more is better" if kind.more_is_better else "less is better"
    parts = [_text(12, 20, f"{kind.title} ({kind.unit}; {better})", "t")]
    bottom = HEAD + ROW * len(found)
    for tick in axis.ticks():
        left = NAMES + axis.place(tick)
        parts.append(f'<line class="g" x1="{left:.0f}" x2="{left:.0f}" y1="{HEAD - 8}" y2="{bottom}"/>')
        parts.append(_text(left, HEAD - 12, f"{tick:,g}", "s", anchor="middle"))
    ranked = sorted(found.items(), key=lambda item: item[1].median, reverse=kind.more_is_better)
    parts += [
        _bar(axis, peer, figure, kind.decimals, HEAD + ROW * number) for number, (peer, figure) in enumerate(ranked)
    ]
    return "".join(parts)


def _bar(axis: Axis, peer: str, figure: Spread, decimals: int, top: float) -> str:
    length, low, high = (axis.place(value) for value in figure)
    middle = top + ROW / 2 - 1
    color = "o" if peer.startswith(OURS) else "p"
    return "".join(
        (
            _text(NAMES - 6, top + 12, peer, "", anchor="end"),
            f'<rect class="{color}" x="{NAMES}" y="{top + 2}" width="{max(length, 1):.1f}" height="{ROW - 6}"/>',
            f'<line class="w" x1="{NAMES + low:.1f}" x2="{NAMES + high:.1f}" y1="{middle}" y2="{middle}"/>',
            _text(NAMES + max(length, high) + 5, top + 12, figure.text(decimals), ""),
        )
    )


def _text(left: float, top: float, words: str, kind: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{left:.0f}" y="{top:.0f}" text-anchor="{anchor}">{escape(words)}</text>'


def _ground() -> str:
    return '<rect width="100%" height="100%" fill="#fff"/>'
