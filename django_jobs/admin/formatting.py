"""Statuses, moments and other people's texts as HTML.

Texts are escaped, kept from reversing the direction of what stands around them, and cut to what a page can hold.
"""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any, Final

from django.utils import timezone
from django.utils.formats import date_format, localize
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import localtime

from django_jobs.admin.durations import brief_duration
from django_jobs.admin.masking import json_of
from django_jobs.engine.job_types.masking import Names
from django_jobs.statuses import ActorKind, BatchState, Status

if TYPE_CHECKING:
    from django_jobs.models import ExecutionLog

#: Characters that are shown of one text; with "show all", as many as a browser still shows quickly.
CUT: Final = 5_000
WHOLE: Final = 1_500_000
LINE: Final = 120
NOTHING: Final = "-"
#: The parameter of the links that show everything.
ALL: Final = "all"


def badge(status: str) -> SafeString:
    """Return a status as a colored word."""
    return format_html('<span class="djobs-badge {}">{}</span>', slug(status), status)


#: The status whose color a batch's state has. A failed batch is as bad as a dead letter: it does not go on by itself.
STATE_COLORS: Final = {
    BatchState.OPEN: Status.QUEUED,
    BatchState.RUNNING: Status.RUNNING,
    BatchState.COMPLETED: Status.COMPLETED,
    BatchState.FAILED: Status.DEAD_LETTER,
    BatchState.CANCELED: Status.CANCELED,
}


def state_badge(state: str) -> SafeString:
    """Return the state of a batch as a colored word."""
    return format_html('<span class="djobs-badge {}">{}</span>', slug(STATE_COLORS[BatchState(state)]), state)


def slug(status: str) -> str:
    """Return the CSS class of a status."""
    known = status if status in Status.values else "unknown"
    return f"djobs-{known.lower().replace(' ', '-')}"


def line(text: str, limit: int = LINE) -> SafeString | str:
    """Return a text in one line. If it had to be cut, a tooltip shows more of it."""
    if not text:
        return NOTHING
    if len(text) <= limit:
        return format_html("<bdi>{}</bdi>", text)
    return format_html('<bdi title="{}">{}…</bdi>', text[:CUT], text[: limit - 1])


def block(text: str, *, whole: bool = False) -> SafeString | str:
    """Return a longer text as it stands. Where it is cut, a link leads to all of it."""
    if not text:
        return NOTHING
    limit = WHOLE if whole else CUT
    shown = format_html('<pre class="djobs-text" dir="auto" tabindex="0">{}</pre>', text[:limit])
    if len(text) <= limit:
        return shown
    if whole:
        return format_html("{}<p>Cut: it has {} characters.</p>", shown, localize(len(text)))
    return format_html('{}<p><a href="?all=1">Show all {} characters</a></p>', shown, localize(len(text)))


def as_json(value: Any, names: Names, *, whole: bool = False) -> SafeString | str:
    """Return a JSON value in lines, with the values under these keys masked."""
    if value in (None, {}, []):
        return NOTHING if value is None else json.dumps(value)
    return block(json_of(value, names), whole=whole)


def moment(value: dt.datetime | None) -> SafeString | str:
    """Return a moment in the current time zone, to the second and with the zone's name.

    A tooltip and the ``datetime`` attribute have the exact one.
    """
    if value is None:
        return NOTHING
    local = localtime(value)
    text = f"{date_format(local, 'DATE_FORMAT')}, {date_format(local, 'H:i:s')} {local:%Z}"
    return format_html('<time datetime="{0}" title="{0}">{1}</time>', value.isoformat(), text)


def actor(log: ExecutionLog) -> SafeString:
    """Return who changed a status.

    A user whose name is that of another kind of actor, such as "scheduler", is marked.
    """
    name = line(log.actor, 60)
    is_misleading = log.actor_kind == ActorKind.USER and log.actor.casefold() in ActorKind.values
    return format_html("{} <small>(a user)</small>", name) if is_misleading else format_html("{}", name)


def ago(value: dt.datetime) -> SafeString:
    """Return how long ago a moment was. A tooltip and the ``datetime`` attribute have the moment itself."""
    text = f"{brief_duration((timezone.now() - value).total_seconds())} ago"
    return format_html('<time datetime="{}" title="{}">{}</time>', value.isoformat(), localize(localtime(value)), text)
