"""A bar chart with labelled axes, drawn with lines and rectangles."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from math import ceil, floor, log10
from typing import Any, Final

from reportlab.pdfbase.pdfmetrics import stringWidth

from example_project.shop import paper
from example_project.shop.reports import Bar

LABEL_SIZE: Final = 7
MOST_GRID_LINES: Final = 6
ROUNDING: Final = 1e-9
AXIS_ROOM: Final = 44


def draw_bar_chart(canvas: Any, bars: Sequence[Bar], *, y: float, height: float, x_title: str, y_title: str) -> None:
    """Draw the chart over the page's inner width, with its x axis at ``y``."""
    left, width = paper.MARGIN + AXIS_ROOM, paper.INNER - AXIS_ROOM
    highest = max((float(bar.amount) for bar in bars), default=0.0)
    step = grid_step(highest)
    lines = max(1, ceil(highest / step - ROUNDING))
    draw_grid(canvas, step, lines, left=left, y=y, height=height)
    draw_bars(canvas, bars, step * lines, left=left, width=width, y=y, height=height)
    draw_labels(canvas, bars, left=left, width=width, y=y)
    paper.write(canvas, paper.MARGIN, y + height + 12, y_title, size=LABEL_SIZE, color=paper.MUTED)
    paper.write_right(canvas, paper.RIGHT, y - 26, x_title, size=LABEL_SIZE, color=paper.MUTED)


def grid_step(highest: float) -> float:
    """Return the smallest of 1, 2, 2.5, 5 or 10 times a power of ten whose grid holds ``highest``."""
    if highest <= 0:
        return 1.0
    least = highest / MOST_GRID_LINES
    power = 10.0 ** floor(log10(least))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= least * (1 - ROUNDING))


def draw_grid(canvas: Any, step: float, lines: int, *, left: float, y: float, height: float) -> None:
    for line in range(lines + 1):
        at = y + height * line / lines
        paper.rule(canvas, at, left=left, color=paper.MUTED if line == 0 else paper.RULE)
        label = paper.money(Decimal(str(step * line))) if step < 1 else f"{step * line:,.0f}"
        paper.write_right(canvas, left - 6, at - 2.5, label, size=LABEL_SIZE, color=paper.MUTED)


def draw_bars(
    canvas: Any, bars: Sequence[Bar], top: float, *, left: float, width: float, y: float, height: float
) -> None:
    slot = width / len(bars)
    for position, bar in enumerate(bars):
        tall = height * max(float(bar.amount), 0.0) / top
        paper.box(canvas, left + slot * (position + 0.15), y, min(slot * 0.7, 48), tall, paper.BAR)


def draw_labels(canvas: Any, bars: Sequence[Bar], *, left: float, width: float, y: float) -> None:
    slot = width / len(bars)
    widest = max(stringWidth(bar.label, paper.REGULAR, LABEL_SIZE) for bar in bars)
    # Only as many labels as stand side by side.
    every = max(1, ceil((widest + 4) / slot))
    canvas.setFont(paper.REGULAR, LABEL_SIZE)
    canvas.setFillColor(paper.MUTED)
    for position, bar in enumerate(bars[::every]):
        middle = left + slot * (position * every + 0.15) + min(slot * 0.7, 48) / 2
        canvas.drawCentredString(middle, y - 12, bar.label)
