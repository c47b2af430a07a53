"""What a mail about alarms says: plain text in the host's language and time zone."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_jobs.engine.alerts.findings import one_line
from django_jobs.engine.alerts.reading import names_of_concerned
from django_jobs.engine.alerts.seen_alerts import AlertSeen
from django_jobs.engine.alerts.sentences import Words, moment_in_words, words_of
from django_jobs.engine.alerts.thresholds import mail_base_url
from django_jobs.models import Alert

logger = logging.getLogger("django_jobs")

#: Organizations that are named in a mail about one alarm.
MAX_NAMED: Final = 5
#: Alarms that are told in a summary; the others are counted.
MAX_TOLD: Final = 50
MAX_SUBJECT: Final = 150


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What is to be told of a rule and a subject: the rows of its alarms that were not told, the newest last."""

    rows: Sequence[Alert]

    @property
    def newest(self) -> Alert:
        """Return the alarm as it is now."""
        return self.rows[-1]

    @property
    def returns(self) -> int:
        """Return how often the alarm came again since it was told."""
        return len([row for row in self.rows if row.raise_mailed_at is None]) - 1

    @property
    def seen(self) -> AlertSeen:
        """Return the alarm as a mail tells it: of an error the text that tenants may read."""
        row = self.newest
        facts = {name: value for name, value in row.facts.items() if name != "exception"}
        return AlertSeen(
            pk=row.pk,
            rule=row.rule,
            subject=row.subject,
            raised_at=row.raised_at,
            seen_at=row.seen_at,
            cleared_at=row.cleared_at,
            facts=facts,
        )


@dataclass(frozen=True, slots=True)
class Mail:
    """A subject without the host's prefix, and a text."""

    subject: str
    text: str


def mail_about(entry: Entry, now: dt.datetime) -> Mail:
    """Return the mail about one alarm, in the active language and time zone."""
    seen = entry.seen
    words = words_of(seen, now)
    parts = [_what(words), "\n".join(_sentences(entry, seen, words, now)), _link()]
    return Mail(_headline(seen, words), "\n\n".join(part for part in parts if part) + "\n")


def summary_of(entries: Sequence[Entry], now: dt.datetime) -> Mail:
    """Return one mail about many alarms, in the active language and time zone."""
    raised = len([entry for entry in entries if entry.newest.is_open])
    text = ngettext(
        "%(count)s alarm: %(raised)s raised, %(over)s over",
        "%(count)s alarms: %(raised)s raised, %(over)s over",
        len(entries),
    )
    lines = [_line(entry, now) for entry in entries[:MAX_TOLD]]
    if len(entries) > MAX_TOLD:
        lines.append(_("and %(count)s more") % {"count": len(entries) - MAX_TOLD})
    values = {"count": len(entries), "raised": raised, "over": len(entries) - raised}
    parts = ["\n".join(lines), _link()]
    return Mail(text % values, "\n\n".join(part for part in parts if part) + "\n")


def _headline(seen: AlertSeen, words: Words) -> str:
    text = _("Alarm: %(what)s") if seen.is_open else _("Over: %(what)s")
    return (text % {"what": _what(words)})[:MAX_SUBJECT]


def _what(words: Words) -> str:
    """Return what it is about, in one line: who names a schedule must not write paragraphs of the mail."""
    return one_line(f"{words.label}: {words.subject}" if words.subject else words.label)


def _line(entry: Entry, now: dt.datetime) -> str:
    seen = entry.seen
    words = words_of(seen, now)
    return f"- {_headline(seen, words)}. {one_line(f'{words.text} {words.error}'.strip())}"


def _sentences(entry: Entry, seen: AlertSeen, words: Words, now: dt.datetime) -> Iterator[str]:
    yield words.text
    if words.error:
        yield one_line(words.error)
    if words.concerned:
        names = ", ".join(names_of_concerned([seen], MAX_NAMED).values())
        yield " ".join(f"{words.concerned} {names}".split())
    if seen.cleared_at is not None:
        yield _("It has been over since %(time)s.") % {"time": moment_in_words(seen.cleared_at, now)}
    elif words.advice:
        yield words.advice
    if entry.returns > 0:
        count = entry.returns
        text = ngettext("It came back %(count)s time meanwhile.", "It came back %(count)s times meanwhile.", count)
        yield text % {"count": count}


def _link() -> str:
    """Return where the alarms are in the console: an address where the host says its own, else a path."""
    try:
        path = reverse("admin:django_jobs_alert_changelist")
    except Exception as error:  # noqa: BLE001  (the URLs are the host's, and this process may be unable to load them)
        if not isinstance(error, NoReverseMatch):  # that is a host without Django's admin
            logger.debug("event=alert_mail_without_link error=%r", error)
        return ""
    return _("See %(address)s") % {"address": f"{mail_base_url().rstrip('/')}{path}"}
