"""Charts: their numbers, what is told of them in words, and a table of them. ``chart_drawing`` draws them.

The table stands beside the drawing, for people who do not see it. Nothing here reads the database.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from django.utils.functional import Promise
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from django_jobs.admin.numbers import format_number
from django_jobs.texts import in_clauses

EMPTY: Final = gettext_lazy("Nothing in this time.")


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
    #: What is said in its place where there is nothing to draw.
    empty: str | Promise = EMPTY
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
            return str(self.empty)
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
