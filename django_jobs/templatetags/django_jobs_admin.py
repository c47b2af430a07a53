"""What pages of the admin load: the panel of open alarms, for the host's own pages too, and the bar of our pages.

Django imports this library in projects that have no admin, too. So the tags import the admin when they are used.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from django import template
from django.db import Error
from django.utils.html import escape
from django.utils.safestring import SafeString
from django.utils.text import capfirst

#: The beginning of a cell that Django's list of rows renders, with the name of its column. No text has such a tag: it
#: would be escaped.
CELL: Final = re.compile(r'<t[dh]\b[^<>]* class="field-(\w+)')

register = template.Library()


def _written_by(name: str) -> Callable[..., Any]:
    """Return a filter that writes a value as the function of this name in ``admin.writing`` does."""

    def written(value: Any, argument: Any = None) -> Any:
        from django_jobs.admin import writing

        write = getattr(writing, name)
        return write(value) if argument is None else write(value, argument)

    return written


for _name in ("actor", "ago", "badge", "brief_duration", "line", "moment"):
    register.filter(_name, _written_by(_name))


@register.inclusion_tag("admin/django_jobs/alerts/panel.html", takes_context=True)
def alarm_panel(context: template.Context) -> dict[str, Any]:
    """Render the alarms that the request's user may know of, as they were within ten seconds; nothing without any.

    It takes at most two statements. It needs ``request`` in the context, and the style sheets
    ``django_jobs/admin.css`` and ``django_jobs/alarms.css`` on the page. A database that cannot be asked is no reason
    to show no page: then there is no panel.
    """
    from django_jobs.admin.alarms import lately

    request = context.get("request")
    if request is None or not hasattr(request, "user"):
        return {}
    site = getattr(request, "current_app", None) or context.get("site_name") or "admin"
    try:
        alarms = lately(request, site, request.get_full_path())
    except Error:
        return {}
    return {"alarms": alarms, "csrf_token": context.get("csrf_token")}


@register.inclusion_tag("admin/django_jobs/navigation.html", takes_context=True)
def djobs_navigation(context: template.Context) -> dict[str, Any]:
    """Return what the bar shows to whoever asks for the page; nothing where that is not known."""
    from django_jobs.admin import bar

    request = context.get("request")
    return {} if request is None else bar.context_of(request)


@register.filter
def label_cells(rows: str, cl: Any) -> SafeString:
    """Give each cell of a rendered list the name of its column, as ``data-label``: on a phone a row is a card."""
    from django.contrib.admin.utils import label_for_field

    # Where a host's subclass has a function as a column, its cells are called after that, or else have no label.
    labels = {
        getattr(name, "__name__", name): capfirst(str(label_for_field(name, cl.model, cl.model_admin)))
        for name in cl.list_display
        if name != "action_checkbox"
    }

    def labeled(cell: re.Match[str]) -> str:
        if cell[1] not in labels:
            return cell[0]
        tag, _, rest = cell[0].partition(" class=")
        return f'{tag} data-label="{escape(labels[cell[1]])}" class={rest}'

    return SafeString(CELL.sub(labeled, rows))
