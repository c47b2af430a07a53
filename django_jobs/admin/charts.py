"""Charts as SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from django_jobs.admin.writing import format_number
from django_jobs.texts import in_clauses

# Charts: their numbers, what is told of them in words, and a table of them. The next section draws them.
#
# The table stands beside the drawing, for people who do not see it. Nothing here reads the database.


def whole(value: float) -> str:
    """Return a count as people write it, such as ``12,345``."""
    return format_number(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One row of numbers, with None where there is no number. ``color`` is the end of the name of its CSS class.

    A line that ``is_dashed`` is told from another one without its color.
    """

    name: str
    color: str
    values: Sequence[float | None]
    is_dashed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A column and a point of each line for every label. Columns are stacked. ``key`` is unique on its page."""

    key: str
    title: str
    labels: Sequence[str]
    columns: Sequence[Series] = ()
    lines: Sequence[Series] = ()
    #: The time zone of the labels, in words.
    zone: str = ""
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
            return _("Nothing in this time.")
        parts = []
        for item in self.series:
            known = [value for value in item.values if value is not None]
            if known:
                values = {"name": item.name, "least": self.write(min(known)), "most": self.write(max(known))}
                # Translators: a row of numbers, its lowest and its highest value.
                parts.append(_("%(name)s: %(least)s to %(most)s") % values)
        values = {"rows": in_clauses(parts), "first": self.labels[0], "last": self.labels[-1]}
        # Translators: rows of numbers, and the first and the last moment for which there are any.
        return f"{_('%(rows)s. From %(first)s to %(last)s.') % values} {self.zone}".rstrip()


def _filled(series: Series) -> list[float]:
    return [value or 0.0 for value in series.values]


def told(chart: Chart, place: int) -> str:
    """Return the values at one place, in words."""
    values = [f"{item.name} {chart.write(value)}" for item in chart.series if (value := item.values[place]) is not None]
    return f"{chart.labels[place]}: {', '.join(values) or _('nothing')}"


def as_table(chart: Chart) -> SafeString:
    """Return the chart's numbers as a table, for people who read them or have them read out."""
    head = format_html_join("", '<th scope="col">{}</th>', ((item.name,) for item in chart.series))
    rows = format_html_join(
        "",
        '<tr><th scope="row">{}</th>{}</tr>',
        ((label, _cells(chart, place)) for place, label in enumerate(chart.labels)),
    )
    return format_html(
        '<table class="djobs-table djobs-numbers"><caption>{}</caption><thead><tr><th scope="col">{}</th>{}</tr>'
        "</thead><tbody>{}</tbody></table>",
        f"{chart.title}. {chart.zone}" if chart.zone else chart.title,
        pgettext("the moment at which a step of a chart begins", "From"),
        head,
        rows,
    )


def _cells(chart: Chart, place: int) -> SafeString:
    values = (item.values[place] for item in chart.series)
    return format_html_join("", "<td>{}</td>", (("" if value is None else chart.write(value),) for value in values))


# Drawing a chart as SVG, without scripts or inline styles: classes of ``monitor.css`` give the colors.
#
# To assistive technology each chart is one image with a title and a description. A tooltip tells the values under the
# pointer.


WIDTH, HEIGHT = 720, 200
RIGHT, TOP, BOTTOM = 8, 14, 26
PLOT_HEIGHT = HEIGHT - TOP - BOTTOM
#: The least room for the labels of the values, what is left free beside them, and how wide a character may be: a phone
#: draws them larger, so that they can be read.
MIN_LEFT, BESIDE, CHARACTER = 60, 12, 10
GRID_LINES: Final = 4
#: So many labels of the time axis at most, and so many characters of all of them together.
TICKS: Final = 6
TICK_CHARACTERS: Final = 43
GAP: Final = 0.2
#: A point that has no neighbors is a dot of this radius.
DOT: Final = 3


def nice_ceiling(value: float) -> float:
    """Return the smallest of 1, 2, 5, 10, 20, 50, … that is not below the value; 1 for a value of 0 or less."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1.0, 2.0, 5.0, 10.0) if step * power >= value * (1 - 1e-9))


@dataclass(frozen=True, slots=True)
class _Plot:
    """Where things stand: the plot begins at ``left``, and ``ceiling`` is the value at its top."""

    ceiling: float
    left: int
    count: int

    @property
    def width(self) -> int:
        return WIDTH - self.left - RIGHT

    def x(self, index: float) -> float:
        """Return where a step begins; halves are its middle."""
        return round(self.left + self.width * index / max(self.count, 1), 1)

    def y(self, value: float) -> float:
        """Return how far from the top a value stands."""
        return round(TOP + PLOT_HEIGHT * (1 - value / self.ceiling), 1)


def _plot_of(chart: Chart) -> _Plot:
    ceiling = nice_ceiling(chart.most)
    longest = max(len(chart.write(value)) for value in _rows(chart, ceiling))
    return _Plot(ceiling, max(MIN_LEFT, BESIDE + CHARACTER * longest), len(chart.labels))


def draw(chart: Chart) -> SafeString:
    """Return the chart as one ``<svg>``."""
    plot = _plot_of(chart)
    return format_html(
        '<svg class="djobs-chart" viewBox="0 0 {width} {height}" role="img" tabindex="0" '
        'aria-labelledby="{key}-title {key}-desc" data-djobs-chart="{key}">'
        '<title id="{key}-title">{title}</title><desc id="{key}-desc">{desc}</desc>{grid}{buckets}{lines}{axis}</svg>',
        width=WIDTH,
        height=HEIGHT,
        key=chart.key,
        title=chart.title,
        desc=chart.describe(),
        grid=_grid(chart, plot),
        buckets=_buckets(chart, plot),
        lines=format_html_join("", "{}", ((_line(item, plot),) for item in chart.lines)),
        axis=_axis(chart.labels, plot),
    )


def _rows(chart: Chart, ceiling: float) -> list[float]:
    """Return the values at which there are lines across the chart."""
    rows = [(ceiling * step / GRID_LINES) for step in range(GRID_LINES + 1)]
    # A small count has no quarters: "0.5 jobs" would mean nothing.
    return [value for value in rows if value == round(value)] if chart.write is whole else rows


def _grid(chart: Chart, plot: _Plot) -> SafeString:
    return format_html_join(
        "",
        '<line class="djobs-grid" x1="{}" x2="{}" y1="{}" y2="{}"></line>'
        '<text class="djobs-axis djobs-axis-y" x="{}" y="{}">{}</text>',
        (
            (plot.left, WIDTH - RIGHT, plot.y(value), plot.y(value), plot.left - 6, plot.y(value) + 4, label)
            for value in _rows(chart, plot.ceiling)
            for label in [chart.write(value)]
        ),
    )


def _axis(labels: Sequence[str], plot: _Plot) -> SafeString:
    longest = max((len(label) for label in labels), default=1)
    ticks = max(2, min(TICKS, TICK_CHARACTERS // longest))
    step = max(1, math.ceil(len(labels) / ticks))
    last = len(labels) - 1
    return format_html_join(
        "",
        '<text class="djobs-axis {}" x="{}" y="{}">{}</text>',
        (
            (
                "djobs-axis-last" if place == last else "djobs-axis-x",
                plot.x(place + (1 if place == last else 0.5)),
                HEIGHT - 6,
                labels[place],
            )
            for place in range(last, -1, -step)  # the last one, which is now, always
        ),
    )


def _buckets(chart: Chart, plot: _Plot) -> SafeString:
    return format_html_join("", "{}", ((_bucket(chart, place, plot),) for place in range(len(chart.labels))))


def _bucket(chart: Chart, place: int, plot: _Plot) -> SafeString:
    """Return a column inside a field of the chart's full height, so that the pointer finds low columns too."""
    left, width = plot.x(place), plot.width / max(plot.count, 1)
    return format_html(
        '<g class="djobs-bucket"><title>{}</title><rect class="djobs-field" x="{}" y="{}" width="{}" height="{}">'
        "</rect>{}</g>",
        told(chart, place),
        left,
        TOP,
        round(width, 1),
        PLOT_HEIGHT,
        _column(chart, place, plot, left + width * GAP / 2, width * (1 - GAP)),
    )


def _column(chart: Chart, place: int, plot: _Plot, left: float, width: float) -> SafeString:
    parts, height = [], 0.0
    for item in chart.columns:
        value = item.values[place] or 0.0
        if value:
            top, bottom = plot.y(height + value), plot.y(height)
            # A small value is still drawn one pixel high.
            parts.append(
                (item.color, round(left, 1), min(top, bottom - 1), round(width, 1), round(max(1.0, bottom - top), 1))
            )
            height += value
    return format_html_join("", '<rect class="djobs-fill-{}" x="{}" y="{}" width="{}" height="{}"></rect>', parts)


def _line(series: Series, plot: _Plot) -> SafeString:
    """Return the line in pieces where it has gaps. A value with a gap on both sides is a dot."""
    pieces: list[SafeString] = []
    piece: list[tuple[float, float]] = []
    for place, value in enumerate([*series.values, None]):
        if value is not None:
            piece.append((plot.x(place + 0.5), plot.y(value)))
        elif piece:
            pieces.append(_stroke(piece, series.color, is_dashed=series.is_dashed))
            piece = []
    return format_html_join("", "{}", ((item,) for item in pieces))


def _stroke(points: Sequence[tuple[float, float]], color: str, *, is_dashed: bool = False) -> SafeString:
    """Return a line through these points; a single one is a dot."""
    if len(points) == 1:
        return format_html(
            '<circle class="djobs-dot djobs-fill-{}" cx="{}" cy="{}" r="{}"></circle>', color, *points[0], DOT
        )
    return format_html(
        '<polyline class="djobs-line djobs-stroke-{}{}" points="{}"></polyline>',
        color,
        " djobs-dashed" if is_dashed else "",
        " ".join(f"{x},{y}" for x, y in points),
    )


# Charts that have no axes: bars and sparklines. Nothing here reads the database.


SMALL_WIDTH, BAR_ROW = 360, 30
BAR_LEFT, BAR_RIGHT = 72, 70


def draw_bars(key: str, title: str, rows: Sequence[tuple[str, str, float, str]]) -> SafeString:
    """Return horizontal bars. Each row has a label, a color, a value and the value as people write it."""
    ceiling = max([value for _, _, value, _ in rows] or [0.0]) or 1.0
    return format_html(
        '<svg class="djobs-chart djobs-bars" viewBox="0 0 {width} {height}" role="img" '
        'aria-labelledby="{key}-title {key}-desc">'
        '<title id="{key}-title">{title}</title><desc id="{key}-desc">{description}</desc>{bars}</svg>',
        width=SMALL_WIDTH,
        height=BAR_ROW * max(1, len(rows)),
        key=key,
        title=title,
        description=in_clauses(f"{label}: {text}" for label, _, _, text in rows),
        bars=format_html_join("", "{}", ((_bar(row, place, ceiling),) for place, row in enumerate(rows))),
    )


def _bar(row: tuple[str, str, float, str], place: int, ceiling: float) -> SafeString:
    label, color, value, text = row
    top, length = place * BAR_ROW, max(1.0, (SMALL_WIDTH - BAR_LEFT - BAR_RIGHT) * value / ceiling)
    return format_html(
        '<text class="djobs-axis djobs-axis-y" x="{}" y="{}">{}</text>'
        '<rect class="djobs-fill-{}" x="{}" y="{}" width="{}" height="{}" rx="2"></rect>'
        '<text class="djobs-value" x="{}" y="{}">{}</text>',
        *(BAR_LEFT - 8, top + 19, label),
        *(color, BAR_LEFT, top + 7, round(length, 1), 16),
        *(round(BAR_LEFT + length + 6, 1), top + 20, text),
    )


def draw_spark(values: Sequence[float | None], least_scale: float = 0.2) -> SafeString:
    """Return a small line from 0 up to the highest value, or up to ``least_scale`` if that is higher.

    It stands beside a number that says the same, so assistive technology does not see it.
    """
    width, height = 84, 20
    most = max([least_scale, *(value or 0.0 for value in values)])
    count = max(1, len(values) - 1)
    points = [
        (round((width - 6) * place / count + 3, 1), round((height - 6) * (1 - value / most) + 3, 1))
        for place, value in enumerate(values)
        if value is not None
    ]
    return format_html(
        '<svg class="djobs-spark" viewBox="0 0 {} {}" aria-hidden="true" focusable="false">{}</svg>',
        width,
        height,
        _stroke(points, "warn"),
    )
