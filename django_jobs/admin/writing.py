"""How times, numbers and facts are written for people."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django import forms
from django.contrib.admin.widgets import AdminTextInputWidget
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.formats import date_format, get_format, number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst, format_lazy
from django.utils.translation import gettext, gettext_lazy, ngettext_lazy
from django.utils.translation import gettext as _

from django_jobs.engine.job_types.masking import Names, masked
from django_jobs.statuses import ActorKind, BatchState, Status
from django_jobs.texts import in_current_zone, left_to_right

if TYPE_CHECKING:
    from django_jobs.models import ExecutionLog, JobType

# Statuses, moments and other people's texts as HTML.
#
# Texts are escaped, kept from reversing the direction of what stands around them, and cut to what a page can hold.


#: Characters that are shown of one text; with "show all", as many as a browser still shows quickly.
CUT: Final = 5_000
WHOLE: Final = 1_500_000
LINE: Final = 120
NOTHING: Final = "-"
#: From one thing to the next; a style sheet turns it where people read from right to left.
ARROW: Final = mark_safe('<span class="djobs-arrow">→</span>')
#: The parameter of the links that show everything.
ALL: Final = "all"


def colored(words: Any, color: str) -> SafeString:
    """Return words in the color of a status, such as ``dead-letter``."""
    return format_html('<span class="djobs-badge djobs-{}">{}</span>', color, words)


def badge(status: str) -> SafeString:
    """Return a status as a colored word."""
    return colored(status_word(status), slug(status).removeprefix("djobs-"))


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
    return colored(BatchState(state).label, slug(STATE_COLORS[BatchState(state)]).removeprefix("djobs-"))


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
        return format_html("{}<p>{}</p>", shown, f"… ({format_number(len(text))})")
    all_of_it = f"{_('Show all')} ({format_number(len(text))})"
    return format_html('{}<p><a href="{}">{}</a></p>', shown, all_url, all_of_it)


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


# Read-only facts of a page, as Django's own template of a fieldset shows fields.


EMPTY: Final[tuple[Any, ...]] = (None, "", 0, {})


class Fact:
    """A value with its label. It is left out if it is empty."""

    is_readonly = True

    def __init__(self, name: str, label: Any, value: Any, write: Callable[[Any], Any] = str) -> None:
        self.field = {"name": name}
        self.label = label
        self.contents = None if value in EMPTY else write(value)

    @property
    def label_tag(self) -> SafeString:
        """Return the label as Django's forms write it."""
        return format_html("<label>{}{}</label>", capfirst(str(self.label)), forms.Form().label_suffix)


class FactLine(list[Fact]):
    """Facts beside each other."""

    has_visible_field = True

    @property
    def fields(self) -> list[Fact]:
        """Return the facts."""
        return self


class FactGroup(list[FactLine]):
    """Lines of facts under a title. Empty lines are left out."""

    def __init__(self, name: Any, *lines: list[Fact], is_collapsible: bool = False) -> None:
        told = (FactLine(fact for fact in facts if fact.contents is not None) for facts in lines)
        super().__init__(facts for facts in told if facts)
        self.name, self.is_collapsible = name, is_collapsible
        self.classes = "collapse" if is_collapsible else ""


def without(fields: Iterable[Any], hidden: Collection[Any]) -> tuple[Any, ...]:
    """Return the lines of a fieldset, each alone or several beside each other, that are not hidden."""
    found: list[Any] = []
    for item in fields:
        names = tuple(name for name in (item if isinstance(item, tuple) else [item]) if name not in hidden)
        found += [names[0] if len(names) == 1 else names] if names else []
    return tuple(found)


# Numbers as people write them in their language.


def format_number(value: float, places: int = 0) -> str:
    """Return a number with so many decimals, in groups of three digits where the language has these: ``1,234.5``."""
    return str(number_format(f"{value:.{places}f}", places, force_grouping=True))


def format_exact(value: float) -> str:
    """Return a number with as many decimals as it has, at most four: ``20`` or ``2.5``."""
    return str(number_format(f"{value:.4f}".rstrip("0").rstrip("."), force_grouping=True))


def format_percent(share: float | None, places: int = 1) -> str:
    """Return a share (0 to 1) in percent, such as ``12.5 %``; a dash for None."""
    return NOTHING if share is None else f"{format_number(100 * share, places)} %"


# Numbers of jobs that were counted up to a bound, and how people read them.


#: Nothing was found before the bound, and what lies behind it is not known.
NOT_COUNTED: Final = gettext_lazy("not counted")


@dataclass(frozen=True, slots=True, kw_only=True)
class CappedCount:
    """A number of jobs. With ``is_cut``, counting ended at a bound, and there may be more."""

    count: int
    is_cut: bool = False

    @classmethod
    def up_to(cls, bound: int, counted: int) -> CappedCount:
        """Return what was counted, one further than the bound at most."""
        return cls(count=min(counted, bound), is_cut=counted > bound)

    def __str__(self) -> str:
        if self.is_cut and not self.count:
            return str(NOT_COUNTED)
        return f"{format_number(self.count)}{'+' if self.is_cut else ''}"


# Masked JSON as text for people.


#: Unicode's characters that change the direction of text: marks, embeddings, overrides and isolates.
_TURNING: Final = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def json_of(value: Any, names: Names) -> str:
    """Return a JSON value as text for people, with the values under these keys masked.

    Characters that would reverse the direction of the text around them are written as their escapes.
    """
    text = json.dumps(masked(value, names), indent=2, ensure_ascii=False)
    return _TURNING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


# Durations as people write and read them.


#: Each unit's seconds, its sign in every language, and how people read so many of it in theirs.
UNITS: Final = (
    # Translators: days, as short as they are understood beside hours: "3 d 4 h".
    (86_400, "d", ngettext_lazy("%(count)d d", "%(count)d d", "count")),
    # Translators: hours, as short as they are understood.
    (3_600, "h", ngettext_lazy("%(count)d h", "%(count)d h", "count")),
    # Translators: minutes, as short as they are understood.
    (60, "min", ngettext_lazy("%(count)d min", "%(count)d min", "count")),
    # Translators: seconds, as short as they are understood.
    (1, "s", ngettext_lazy("%(count)d s", "%(count)d s", "count")),
)
HELP: Final = gettext_lazy("Such as 90, 5 min or 1 h 30 min; a number alone is in seconds.")
SECONDS: Final = {
    **dict.fromkeys(("", "s", "sec", "secs", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3_600),
    **dict.fromkeys(("d", "day", "days"), 86_400),
}
#: What else people may write in their language, in small letters and with blanks between the words.
OWN_WORDS: Final = (
    # Translators: words for seconds that people may type, in small letters, with blanks between them.
    (1, gettext_lazy("second seconds")),
    # Translators: words for minutes that people may type, in small letters, with blanks between them.
    (60, gettext_lazy("minute minutes")),
    # Translators: words for hours that people may type, in small letters, with blanks between them.
    (3_600, gettext_lazy("hour hours")),
    # Translators: words for days that people may type, in small letters, with blanks between them.
    (86_400, gettext_lazy("day days")),
)
#: From so many of one unit on, smaller units are not told.
FEW: Final = 10
_PART: Final = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*([^\W\d_]*)\.?\s*,?\s*")


def format_duration(seconds: int) -> str:
    """Return a whole number of seconds exactly, such as ``1 h 30 min``, in the active language."""
    return " ".join(_parts(seconds))


def _parts(seconds: int) -> list[str]:
    counts = [(count, words) for count, _, words in _counts(seconds) if count]
    return [words % {"count": count} for count, words in counts or [(0, UNITS[-1][2])]]


def _counts(seconds: int) -> Iterator[tuple[int, str, Any]]:
    for size, sign, words in UNITS:
        count, seconds = divmod(seconds, size)
        yield count, sign, words


def typed_duration(seconds: int) -> str:
    """Return a whole number of seconds as every language's form takes it, such as ``1 h 30 min``."""
    return " ".join(f"{count} {sign}" for count, sign, _ in _counts(seconds) if count) or "0 s"


def brief_duration(seconds: float | None) -> str:
    """Return a measured time as exactly as people need it: ``240 ms``, ``3.4 s``, ``2 h 5 min``; a dash for None."""
    if seconds is None:
        return NOTHING
    seconds = max(0.0, seconds)
    if seconds < 1:
        # Translators: a very short time, in milliseconds.
        return gettext("%(count)d ms") % {"count": round(seconds * 1000)}
    if round(seconds, 1) < FEW:
        # Translators: a short time in seconds, such as "3.4 s".
        return gettext("%(seconds)s s") % {"seconds": format_number(seconds, 1)}
    first = next(count for count, *_ in _counts(round(seconds)) if count)
    return " ".join(_parts(round(seconds))[: 2 if first < FEW else 1])


def parse_duration(text: str) -> int:
    """Return the seconds that ``90``, ``5 min`` or ``1h 30m`` stand for. Raise ValueError for anything else."""
    total, place, words = 0.0, 0, _with_points(text.strip().lower())
    known = {**SECONDS, **{word: size for size, own in OWN_WORDS for word in str(own).split()}}
    while place < len(words):
        match = _PART.match(words, place)
        is_bare = match is not None and not match[2] and match[0] != words
        if match is None or is_bare or match[2] not in known:
            raise ValueError(f"{text!r} is no duration.")
        total += float(match[1]) * known[match[2]]
        place = match.end()
    if not words or total != int(total):
        raise ValueError(f"{text!r} is no whole number of seconds.")
    return int(total)


def _with_points(text: str) -> str:
    """Return the text with a point in each number that has the language's own sign of decimals."""
    sign = re.escape(str(get_format("DECIMAL_SEPARATOR")))
    return re.sub(rf"(?<=\d){sign}(?=\d)", ".", text)


class DurationField(forms.IntegerField):
    """A number of seconds that people see and type as a duration."""

    widget = AdminTextInputWidget

    def __init__(self, *, help_text: Any = "", **options: Any) -> None:
        super().__init__(help_text=format_lazy("{} {}", help_text, HELP), **options)

    def prepare_value(self, value: Any) -> Any:
        return typed_duration(value) if isinstance(value, int) and not isinstance(value, bool) else value

    def to_python(self, value: Any) -> int | None:
        if value in self.empty_values:
            return None
        try:
            return parse_duration(str(value))
        except ValueError as error:
            raise ValidationError(
                gettext_lazy("This is no duration. Write for example 90, 5 min or 1 h 30 min."), code="invalid"
            ) from error

    def widget_attrs(self, widget: forms.Widget) -> dict[str, Any]:
        return {"dir": "auto"}  # no bounds: these are numbers, which a text input knows nothing of

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.to_python(initial) != self.to_python(data))
        except ValidationError:
            return True
