"""A graph of jobs as SVG: a box for each job or group of jobs, with a link, its status in words and in color."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_jobs.admin.batch_graph import Box, Graph
from django_jobs.admin.formatting import slug, status_word
from django_jobs.admin.graph_layout import Place
from django_jobs.admin.numbers import format_number
from django_jobs.texts import in_clauses

#: Pixels.
WIDTH: Final = 212
HEIGHT: Final = 44
COLUMN: Final = WIDTH + 64
ROW: Final = HEIGHT + 12
MARGIN: Final = 8
#: Characters of a job type that fit into a box.
TYPE_LENGTH: Final = 25
#: The width of a link, in pixels, for one dependency and for many.
THIN, THICK = 1.2, 3.0

AddressOf = Callable[[Box], str]


def draw_graph(graph: Graph, address_of: AddressOf, here: int | None = None) -> SafeString:
    """Return the drawing. ``address_of`` says where a box leads; ``here`` is the job whose page it stands on.

    Nothing is drawn of a graph that is too large.
    """
    layout = graph.layout
    if layout is None:
        return SafeString("")
    width = layout.layers * COLUMN - (COLUMN - WIDTH) + 2 * MARGIN
    height = round(layout.height * ROW - (ROW - HEIGHT) + 2 * MARGIN)
    lines = format_html_join("", '<path d="{}" stroke-width="{}"></path>', _lines(graph))
    boxes = format_html_join(
        "", "{}", ((_box(box, layout.places[pk], address_of(box), pk == here),) for pk, box in _in_reading_order(graph))
    )
    return format_html(
        '<svg class="djobs-dag" width="{0}" height="{1}" viewBox="0 0 {0} {1}" role="group" aria-label="{2}">'
        '<g class="djobs-links" aria-hidden="true">{3}</g>{4}</svg>',
        width,
        height,
        _("Jobs from left to right: each waits for those that lead to it"),
        lines,
        boxes,
    )


def _in_reading_order(graph: Graph) -> list[tuple[int, Box]]:
    """Return the boxes layer by layer from above, which is the order in which the keyboard goes through them."""
    places = graph.layout.places if graph.layout else {}
    return sorted(graph.boxes.items(), key=lambda item: places[item[0]])


def _lines(graph: Graph) -> Iterator[tuple[str, float]]:
    routes = graph.layout.routes if graph.layout else {}
    for link, route in routes.items():
        yield _curve(route), THIN if graph.links[link] == 1 else THICK


def _curve(route: list[Place]) -> str:
    """Return a path from the right edge of the first box to the left edge of the last, level through each bend."""
    x, y = _corner(route[0])
    x, y = x + WIDTH, y + HEIGHT / 2
    parts = [f"M{x:.0f},{y:.1f}"]
    for place in route[1:]:
        left, top = _corner(place)
        middle, level = (x + left) / 2, top + HEIGHT / 2
        parts.append(f"C{middle:.0f},{y:.1f} {middle:.0f},{level:.1f} {left:.0f},{level:.1f}")
        x, y = left, level
        if place is not route[-1]:
            x += WIDTH
            parts.append(f"H{x:.0f}")
    return "".join(parts)


def _corner(place: Place) -> tuple[float, float]:
    layer, row = place
    return MARGIN + layer * COLUMN, MARGIN + row * ROW


def _box(box: Box, place: Place, address: str, is_here: bool) -> SafeString:
    x, y = _corner(place)
    name = box.node.job_type
    shown = name if len(name) <= TYPE_LENGTH else f"{name[: TYPE_LENGTH - 1]}…"
    state = f"{_what(box)} · {status_word(box.node.status)}"
    return format_html(
        '<a class="djobs-node {slug}" href="{address}"{current} aria-label="{label}"><title>{words}</title>'
        '<rect class="djobs-box" x="{x}" y="{y}" width="{width}" height="{height}" rx="5"></rect>'
        '<rect class="djobs-edge" x="{x}" y="{y}" width="5" height="{height}" rx="2"></rect>'
        '<text x="{left}" y="{first}">{shown}</text> '
        '<text class="djobs-node-state" x="{left}" y="{second}">{state}</text></a>',
        slug=slug(box.node.status),
        address=address,
        current=mark_safe(' aria-current="page"') if is_here else "",
        words=_words(box),
        x=f"{x:.0f}",
        y=f"{y:.1f}",
        width=WIDTH,
        height=HEIGHT,
        left=f"{x + 14:.0f}",
        first=f"{y + 18:.1f}",
        second=f"{y + 35:.1f}",
        shown=shown,
        state=state,
        # It begins with what is seen: who speaks to the browser says that.
        label=in_clauses([f"{shown} {state}", *_links(box)]),
    )


def _words(box: Box) -> str:
    """Return what a box says, for those who point at it or have it read out."""
    # Translators: a job's id, or how many jobs; their type; their status.
    words = _("%(jobs)s of %(type)s: %(status)s")
    named = {"jobs": _what(box), "type": box.node.job_type, "status": status_word(box.node.status)}
    return in_clauses([words % named, *_links(box)])


def _what(box: Box) -> str:
    if box.count == 1:
        return box.node.name
    return ngettext("%(count)s job", "%(count)s jobs", box.count) % {"count": format_number(box.count)}


def _links(box: Box) -> Iterator[str]:
    if box.before:
        text = ngettext("waits for %(count)s", "waits for %(count)s", box.before)
        if box.count > 1:
            text = ngettext("%(count)s waits", "%(count)s waits", box.before)
        yield text % {"count": format_number(box.before)}
    if box.after:
        text = ngettext("%(count)s waits for it", "%(count)s wait for it", box.after)
        if box.count > 1:
            text = ngettext("%(count)s waits for them", "%(count)s wait for them", box.after)
        yield text % {"count": format_number(box.after)}
