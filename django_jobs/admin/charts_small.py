"""Charts that have no axes: bars and sparklines. Nothing here reads the database."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from django_jobs.texts import in_clauses

WIDTH, BAR_ROW = 360, 30
BAR_LEFT, BAR_RIGHT = 72, 70


def draw_bars(key: str, title: str, rows: Sequence[tuple[str, str, float, str]]) -> SafeString:
    """Return horizontal bars. Each row has a label, a color, a value and the value as people write it."""
    ceiling = max([value for _, _, value, _ in rows] or [0.0]) or 1.0
    return format_html(
        '<svg class="djobs-chart djobs-bars" viewBox="0 0 {width} {height}" role="img" '
        'aria-labelledby="{key}-title {key}-desc">'
        '<title id="{key}-title">{title}</title><desc id="{key}-desc">{description}</desc>{bars}</svg>',
        width=WIDTH,
        height=BAR_ROW * max(1, len(rows)),
        key=key,
        title=title,
        description=in_clauses(f"{label}: {text}" for label, _, _, text in rows),
        bars=format_html_join("", "{}", ((_bar(row, place, ceiling),) for place, row in enumerate(rows))),
    )


def _bar(row: tuple[str, str, float, str], place: int, ceiling: float) -> SafeString:
    label, color, value, text = row
    top, length = place * BAR_ROW, max(1.0, (WIDTH - BAR_LEFT - BAR_RIGHT) * value / ceiling)
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
    drawn = (
        format_html('<circle class="djobs-dot djobs-fill-warn" cx="{}" cy="{}" r="2.5"></circle>', *points[0])
        if len(points) == 1
        else format_html(
            '<polyline class="djobs-line djobs-stroke-warn" points="{}"></polyline>',
            " ".join(f"{x},{y}" for x, y in points),
        )
    )
    return format_html(
        '<svg class="djobs-spark" viewBox="0 0 {} {}" aria-hidden="true" focusable="false">{}</svg>',
        width,
        height,
        drawn,
    )
