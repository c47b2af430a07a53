"""Statuses, moments and other people's texts as HTML.

Texts are escaped, kept from reversing the direction of what stands around them, and cut to what a page can hold.
"""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any, Final

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from django_jobs.admin.durations import brief_duration
from django_jobs.admin.masking import json_of
from django_jobs.admin.numbers import format_number
from django_jobs.engine.job_types.masking import Names
from django_jobs.statuses import ActorKind, BatchState, Status
from django_jobs.texts import in_current_zone, left_to_right

if TYPE_CHECKING:
    from django_jobs.models import ExecutionLog, JobType

#: Characters that are shown of one text; with "show all", as many as a browser still shows quickly.
CUT: Final = 5_000
WHOLE: Final = 1_500_000
LINE: Final = 120
NOTHING: Final = "-"
#: From one thing to the next; a style sheet turns it where people read from right to left.
ARROW: Final = mark_safe('<span class="djobs-arrow">→</span>')
#: The parameter of the links that show everything.
ALL: Final = "all"


def badge(status: str) -> SafeString:
    """Return a status as a colored word."""
    return format_html('<span class="djobs-badge {}">{}</span>', slug(status), status_word(status))


def status_word(status: str) -> str:
    """Return the word for a status in the active language; an unknown one as it stands."""
    return str(Status(status).label) if status in Status.values else status


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
    return format_html(
        '<span class="djobs-badge {}">{}</span>', slug(STATE_COLORS[BatchState(state)]), BatchState(state).label
    )


def type_title(kind: JobType) -> str:
    """Return what people call a type, in the active language where a catalog of the host has its display name."""
    return _(kind.display_name) if kind.display_name else kind.type_name


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


def linked(address: str, shown: SafeString | str) -> SafeString | str:
    """Return what is shown as a link, if there is an address."""
    return format_html('<a href="{}">{}</a>', address, shown) if address else shown


def block(text: str, *, whole: bool = False, all_url: str = "?all=1") -> SafeString | str:
    """Return a longer text as it stands. Where it is cut, a link leads to all of it."""
    if not text:
        return NOTHING
    limit = WHOLE if whole else CUT
    shown = format_html('<pre class="djobs-text" dir="auto" tabindex="0">{}</pre>', text[:limit])
    if len(text) <= limit:
        return shown
    if whole:
        return format_html("{}<p>{}</p>", shown, _("Cut: it has %(count)s characters.") % _length(text))
    all_of_it = _("Show all %(count)s characters") % _length(text)
    return format_html('{}<p><a href="{}">{}</a></p>', shown, all_url, all_of_it)


def _length(text: str) -> dict[str, str]:
    return {"count": format_number(len(text))}


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
    return format_html('<time datetime="{0}" title="{0}">{1}</time>', value.isoformat(), moment_text(value))


def moment_text(value: dt.datetime) -> str:
    """Return a moment in the current time zone as words: "Nov. 28, 2026, 12:03:04 CET"."""
    local = in_current_zone(value)
    # Translators: a moment, such as "Nov. 28, 2026, 12:03:04 CET".
    return _("%(date)s, %(time)s %(zone)s") % {
        "date": date_format(local, "DATE_FORMAT"),
        "time": date_format(local, "H:i:s"),
        "zone": zone_of(local),
    }


def zone_of(local: dt.datetime) -> str:
    """Return the name of a moment's zone. Where it is a number, "-03", its sign stays before it in every direction."""
    name = f"{local:%Z}"
    return name if name.isalpha() else left_to_right(name)


def zone_text() -> str:
    """Return the current time zone in words, said once where many times stand without it."""
    return _("Times in %(zone)s.") % {"zone": timezone.get_current_timezone_name()}


def actor(log: ExecutionLog) -> SafeString:
    """Return who changed a status.

    A user whose name is that of another kind of actor, such as "scheduler", is marked.
    """
    name = line(log.actor, 60)
    is_misleading = log.actor_kind == ActorKind.USER and log.actor.casefold() in ActorKind.values
    if not is_misleading:
        return format_html("{}", name)
    return format_html('{} <small data-code="user">({})</small>', name, _("a user"))


def ago(value: dt.datetime) -> SafeString:
    """Return how long ago a moment was. A tooltip and the ``datetime`` attribute have the moment itself."""
    # Translators: how long ago something was: "3 min 20 s ago".
    text = _("%(duration)s ago") % {"duration": brief_duration((timezone.now() - value).total_seconds())}
    return format_html('<time datetime="{}" title="{}">{}</time>', value.isoformat(), moment_text(value), text)
