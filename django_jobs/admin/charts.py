"""Charts as SVG, without scripts or inline styles: classes of ``monitor.css`` give the colors.

To assistive technology each chart is one image with a title and a description, and ``as_table`` makes a table of its
numbers that stands beside it. A tooltip tells the values under the pointer. Nothing here reads the database.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

WIDTH, HEIGHT = 720, 200
LEFT, RIGHT, TOP, BOTTOM = 60, 8, 10, 24
PLOT_WIDTH, PLOT_HEIGHT = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
GRID_LINES: Final = 4
TICKS: Final = 6
GAP: Final = 0.2


def whole(value: float) -> str:
    """Return a count as people write it, such as ``12,345``."""
    return f"{round(value):,}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One row of numbers, with None where there is no number. ``color`` is the end of the name of its CSS class."""

    name: str
    color: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A column and a point of each line for every label. Columns are stacked. ``key`` is unique on its page."""

    key: str
    title: str
    labels: Sequence[str]
    columns: Sequence[Series] = ()
    lines: Sequence[Series] = ()
    #: Writes a value for people.
    write: Callable[[float], str] = field(default=whole)

    @property
    def series(self) -> list[Series]:
        """Return all rows of numbers, columns before lines."""
        return [*self.columns, *self.lines]

    @property
    def is_empty(self) -> bool:
        """Return whether there is nothing to draw but zeros."""
        return not any(value for series in self.series for value in series.values)

    @property
    def most(self) -> float:
        """Return the highest value that is drawn, with columns stacked on each other."""
        heights: list[float] = [sum(values) for values in zip(*(_filled(item) for item in self.columns), strict=True)]
        heights += [value for line in self.lines for value in _filled(line)]
        return max(heights, default=0.0)

    def describe(self) -> str:
        """Return the ranges of the values in words, for people who do not see the chart."""
        if self.is_empty:
            return "Nothing in this time."
        parts = []
        for item in self.series:
            known = [value for value in item.values if value is not None]
            if known:
                parts.append(f"{item.name}: {self.write(min(known))} to {self.write(max(known))}")
        return f"{'; '.join(parts)}. From {self.labels[0]} to {self.labels[-1]}."


def _filled(series: Series) -> list[float]:
    return [value or 0.0 for value in series.values]


def nice_ceiling(value: float) -> float:
    """Return the smallest of 1, 2, 5, 10, 20, 50, … that is not below the value; 1 for a value of 0 or less."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1.0, 2.0, 5.0, 10.0) if step * power >= value * (1 - 1e-9))


def draw(chart: Chart) -> SafeString:
    """Return the chart as one ``<svg>``."""
    ceiling = nice_ceiling(chart.most)
    return format_html(
        '<svg class="djobs-chart" viewBox="0 0 {width} {height}" role="img" tabindex="0" '
        'aria-labelledby="{key}-title {key}-desc" data-djobs-chart="{key}">'
        '<title id="{key}-title">{title}</title><desc id="{key}-desc">{desc}</desc>{grid}{buckets}{lines}{axis}</svg>',
        width=WIDTH,
        height=HEIGHT,
        key=chart.key,
        title=chart.title,
        desc=chart.describe(),
        grid=_grid(chart, ceiling),
        buckets=_buckets(chart, ceiling),
        lines=format_html_join("", "{}", ((_line(item, ceiling),) for item in chart.lines)),
        axis=_axis(chart.labels),
    )


def _y(value: float, ceiling: float) -> float:
    return round(TOP + PLOT_HEIGHT * (1 - value / ceiling), 1)


def _x(index: float, count: int) -> float:
    return round(LEFT + PLOT_WIDTH * index / max(count, 1), 1)


def _grid(chart: Chart, ceiling: float) -> SafeString:
    rows = [(ceiling * step / GRID_LINES) for step in range(GRID_LINES + 1)]
    # A small count has no quarters: "0.5 jobs" would mean nothing.
    if chart.write is whole:
        rows = [value for value in rows if value == round(value)]
    return format_html_join(
        "",
        '<line class="djobs-grid" x1="{}" x2="{}" y1="{}" y2="{}"></line>'
        '<text class="djobs-axis djobs-axis-y" x="{}" y="{}">{}</text>',
        (
            (LEFT, WIDTH - RIGHT, _y(value, ceiling), _y(value, ceiling), LEFT - 6, _y(value, ceiling) + 4, label)
            for value in rows
            for label in [chart.write(value)]
        ),
    )


def _axis(labels: Sequence[str]) -> SafeString:
    step = max(1, math.ceil(len(labels) / TICKS))
    last = len(labels) - 1
    return format_html_join(
        "",
        '<text class="djobs-axis {}" x="{}" y="{}">{}</text>',
        (
            (
                "djobs-axis-last" if place == last else "djobs-axis-x",
                _x(place + (1 if place == last else 0.5), len(labels)),
                HEIGHT - 6,
                labels[place],
            )
            for place in range(last, -1, -step)  # the last one, which is now, always
        ),
    )


def _buckets(chart: Chart, ceiling: float) -> SafeString:
    return format_html_join("", "{}", ((_bucket(chart, place, ceiling),) for place in range(len(chart.labels))))


def _bucket(chart: Chart, place: int, ceiling: float) -> SafeString:
    """Return a column inside a field of the chart's full height, so that the pointer finds low columns too."""
    count = len(chart.labels)
    left, width = _x(place, count), PLOT_WIDTH / max(count, 1)
    return format_html(
        '<g class="djobs-bucket"><title>{}</title><rect class="djobs-field" x="{}" y="{}" width="{}" height="{}">'
        "</rect>{}</g>",
        told(chart, place),
        left,
        TOP,
        round(width, 1),
        PLOT_HEIGHT,
        _column(chart, place, ceiling, left + width * GAP / 2, width * (1 - GAP)),
    )


def told(chart: Chart, place: int) -> str:
    """Return the values at one place, in words."""
    values = [f"{item.name} {chart.write(value)}" for item in chart.series if (value := item.values[place]) is not None]
    return f"{chart.labels[place]}: {', '.join(values) or 'nothing'}"


def _column(chart: Chart, place: int, ceiling: float, left: float, width: float) -> SafeString:
    parts, height = [], 0.0
    for item in chart.columns:
        value = item.values[place] or 0.0
        if value:
            top, bottom = _y(height + value, ceiling), _y(height, ceiling)
            # A small value is still drawn one pixel high.
            parts.append(
                (item.color, round(left, 1), min(top, bottom - 1), round(width, 1), round(max(1.0, bottom - top), 1))
            )
            height += value
    return format_html_join("", '<rect class="djobs-fill-{}" x="{}" y="{}" width="{}" height="{}"></rect>', parts)


def _line(series: Series, ceiling: float) -> SafeString:
    """Return the line in pieces where it has gaps. A value with a gap on both sides is a dot."""
    count, pieces, piece = len(series.values), [], []
    for place, value in enumerate([*series.values, None]):
        if value is not None:
            piece.append(f"{_x(place + 0.5, count)},{_y(value, ceiling)}")
        elif piece:
            # The round ends of a line of no length make a dot.
            pieces.append((series.color, " ".join(piece if len(piece) > 1 else piece * 2)))
            piece = []
    return format_html_join("", '<polyline class="djobs-line djobs-stroke-{}" points="{}"></polyline>', pieces)


def as_table(chart: Chart) -> SafeString:
    """Return the chart's numbers as a table, for people who read them or have them read out."""
    head = format_html_join("", '<th scope="col">{}</th>', ((item.name,) for item in chart.series))
    rows = format_html_join(
        "",
        '<tr><th scope="row">{}</th>{}</tr>',
        ((label, _cells(chart, place)) for place, label in enumerate(chart.labels)),
    )
    return format_html(
        '<table class="djobs-table djobs-numbers"><caption>{}</caption><thead><tr><th scope="col">From</th>{}</tr>'
        "</thead><tbody>{}</tbody></table>",
        chart.title,
        head,
        rows,
    )


def _cells(chart: Chart, place: int) -> SafeString:
    values = (item.values[place] for item in chart.series)
    return format_html_join("", "<td>{}</td>", (("" if value is None else chart.write(value),) for value in values))
