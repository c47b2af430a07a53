"""The bars of a job's attempts as SVG, a strip for each, without scripts or inline styles.

All strips of a page have the same axis. They stretch with their column, so no text is in them: the table that they
stand in says the same in numbers, and assistive technology reads those.
"""

from __future__ import annotations

from typing import Final

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from django_jobs.admin.attempt_spans import AttemptSpan, AttemptSpans, SpanKind, Waterfall
from django_jobs.admin.durations import brief_duration

#: Units of the drawing.
WIDTH: Final = 1000
HEIGHT: Final = 16
#: The least width of a bar, so that a short run beside long waits is still seen.
LEAST: Final = 5.0
#: The top of each kind's bar and its height: they differ in form too, for those who do not tell the colors.
FORMS: Final = {SpanKind.WAITED: (6, 4), SpanKind.RAN: (1, 14), SpanKind.BACKED_OFF: (7, 2)}
TICKS: Final = 2


def draw_strip(item: AttemptSpans, waterfall: Waterfall) -> SafeString:
    """Return the bars of one attempt on the axis of all."""
    scale = WIDTH / waterfall.length if waterfall.length > 0 else 0.0
    bars = format_html_join("", "{}", ((_bar(span, scale),) for span in item.spans))
    breaks = format_html_join(
        "",
        '<rect class="djobs-span-break" x="{}" y="0" width="2" height="{}"></rect>',
        ((round(place * scale, 1), HEIGHT) for place in waterfall.breaks),
    )
    return format_html(
        '<svg class="djobs-strip" viewBox="0 0 {} {}" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        "{}{}</svg>",
        WIDTH,
        HEIGHT,
        breaks,
        bars,
    )


def _bar(span: AttemptSpan, scale: float) -> SafeString:
    width = max(LEAST, (span.end - span.start) * scale)
    top, height = FORMS[span.kind]
    return format_html(
        '<rect class="djobs-span-{}{}" x="{}" y="{}" width="{}" height="{}"></rect>',
        span.kind.value,
        " djobs-span-open" if span.is_open else "",
        round(max(0.0, min(span.start * scale, WIDTH - width)), 1),
        top,
        round(width, 1),
        height,
    )


def tick_labels(waterfall: Waterfall) -> list[str]:
    """Return what stands below the axis at equal distances, from its beginning to its end."""
    if waterfall.length <= 0:
        return []
    return [brief_duration(waterfall.length * place / TICKS) if place else "0" for place in range(TICKS + 1)]
