"""Alarms in sentences: in the reader's language, in the log, as a signal and as mails that never are a flood."""

from __future__ import annotations

import datetime as dt
import logging
import math
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.core import mail
from django.db.models import Q
from django.urls import NoReverseMatch, reverse
from django.utils import timezone, translation
from django.utils.formats import date_format
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from django_jobs.engine import timing
from django_jobs.engine.alerts.reading import names_of_concerned
from django_jobs.engine.alerts.rules import (
    BREAKER_OPEN,
    BY_URGENCY,
    NO_SCHEDULER,
    RULES,
    TYPE_FAILING,
    is_mail_on,
    mail_base_url,
    one_line,
)
from django_jobs.engine.insight import events, reasons
from django_jobs.engine.store import database
from django_jobs.models import Alert
from django_jobs.signals import job_alert
from django_jobs.statuses import BreakerState
from django_jobs.texts import left_to_right

# Alarms in sentences, in the reader's language. For answers that are never translated, :func:`plain_text`.


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """An alarm in words. ``text`` is one sentence or more without the subject, ``advice`` is for system admins."""

    label: str
    subject: str
    text: str
    error: str = ""
    concerned: str = ""
    advice: str = ""


def words_of(alert: Alert, now: dt.datetime) -> Words:
    """Return the alarm in the active language and time zone."""
    code = code_of(alert)
    return Words(
        label=str(reasons.REASONS[alert.rule].short),
        subject=alert.subject,
        text=" ".join(filter(None, (reasons.told(code, _shown(alert, now)), _held(alert)))),
        error=str(alert.facts.get("exception") or alert.facts.get("error") or ""),
        concerned=_concerned(alert),
        advice="" if alert.is_partial else reasons.advice_on(code, {"pool": alert.subject}),
    )


def _held(alert: Alert) -> str:
    """Return that the failing type starts no jobs now; "" where it does."""
    code = "type_disabled" if alert.facts.get("is_disabled") else "type_paused" if alert.facts.get("is_paused") else ""
    return str(reasons.REASONS[code].long) if code and alert.rule == TYPE_FAILING else ""


def code_of(alert: Alert) -> str:
    """Return the code of the reason: that of the rule, or a closer one."""
    if alert.rule == BREAKER_OPEN and alert.facts.get("state") == BreakerState.RECOVERING:
        return "breaker_recovering"
    return str(alert.facts.get("code", alert.rule))


def plain_text(alert: Alert, now: dt.datetime) -> str:
    """Return the alarm in one line of English, with moments in UTC."""
    with translation.override(None), timezone.override(dt.UTC):
        words = words_of(alert, now)
        error = f"{words.error}." if words.error and words.error[-1] not in ".!?…" else words.error
        parts = [f"{_what(words)}. {words.text}", error, words.concerned, words.advice]
        return " ".join(part for part in parts if part)


def moment_in_words(moment: dt.datetime, now: dt.datetime) -> str:
    """Return a moment in the active time zone, with the zone's name; with the day where that is another one."""
    local = timezone.localtime(moment)
    # Else the zone draws the number of what follows to its side.
    clock = left_to_right(f"{date_format(local, 'H:i')} {local:%Z}")
    if local.date() == timezone.localtime(now).date():
        return clock
    return _("%(day)s, %(time)s") % {"day": date_format(local, "MONTH_DAY_FORMAT"), "time": clock}


def _concerned(alert: Alert) -> str:
    count = len([key for key, jobs in alert.organizations.items() if jobs])
    if not count or alert.is_partial:
        return ""
    number = reasons.counted(count, has_more=bool(alert.facts.get("has_more")))
    return f"{capfirst(_('organizations'))}: {number}."


def _shown(alert: Alert, now: dt.datetime) -> dict[str, Any]:
    """Return the facts that are listed; of what tenants read, numbers are those of their own organizations."""
    facts = alert.facts
    shown: dict[str, Any] = {name: facts.get(name) for name in ("scheduler", "organization", "free", "slots")}
    shown["duty"] = alert.subject
    if alert.rule != NO_SCHEDULER or facts.get("has_run"):
        shown["since"] = moment_in_words(alert.since, now)
    if "seconds" in facts:
        shown["minutes"] = reasons.counted(round(facts["seconds"] / 60))
    if alert.is_partial:
        return shown | dict.fromkeys(("failed", "count"), sum(alert.organizations.values()) or "")
    if "waiting" in facts:
        shown["waiting"] = reasons.counted(facts["waiting"], has_more=bool(facts.get("has_more_waiting")))
    if "count" in facts:
        shown["count"] = facts["count"]
    if "failed" in facts:
        ended = facts.get("attempts")
        shown["failed"] = facts["failed"] if ended is None else reasons.of_all(facts["failed"], ended)
    return shown


# Where every alarm passes once when it is raised, and once when it is over: a log line and the signal ``job_alert``.
#
# Mails go by the rows, since they must not get lost.


logger = logging.getLogger("django_jobs")


def announce(alert: Alert) -> None:
    """Tell that an alarm was raised, or that it is over. Its row is committed."""
    if alert.is_open:
        logger.warning("event=alert_raised rule=%s subject=%s", alert.rule, alert.subject)
    else:
        seconds = (alert.cleared_at - alert.raised_at).total_seconds() if alert.cleared_at else 0.0
        logger.info("event=alert_cleared rule=%s subject=%s seconds=%.0f", alert.rule, alert.subject, seconds)
    if alert.rule in RULES and job_alert.has_listeners(Alert):  # of a rule of another release there is no sentence
        _send(alert)


def _send(alert: Alert) -> None:
    text = plain_text(alert, alert.cleared_at or alert.seen_at)
    events.deliver(job_alert, Alert, f"alert={alert.pk}", {"alert": alert, "text": text})


# One mail to ADMINS, as Django's ``mail_admins`` sends it, over a connection that waits for no server for ever.


def send_to_admins(subject: str, text: str) -> None:
    """Send a mail to ADMINS. Raises what the host's mail backend raises."""
    connection = default_connection()
    # Backends without such a limit are left alone.
    if getattr(connection, "timeout", timing.MAIL_ANSWER_SECONDS) is None:
        connection.timeout = timing.MAIL_ANSWER_SECONDS
    message = mail.EmailMessage(
        subject=f"{settings.EMAIL_SUBJECT_PREFIX}{subject}", body=text, from_email=settings.SERVER_EMAIL, to=_admins()
    )
    connection.send_messages([message])


def default_connection() -> Any:
    """Return a new connection of the host's own mail backend, which is not open yet."""
    mailers = getattr(mail, "mailers", None)  # since Django 6.1, which warns of the other one
    return mail.get_connection() if mailers is None else mailers.default


def _admins() -> list[str]:
    """Return the addresses. Before Django 6.0 each stands behind a name."""
    return [str(admin[1] if isinstance(admin, list | tuple) else admin) for admin in settings.ADMINS]


# What a mail about alarms says: plain text in the host's language and time zone.


#: Organizations that are named in a mail about one alarm.
MAX_NAMED: Final = 5
#: Alarms that are told in a summary; the others are counted.
MAX_TOLD: Final = 50
MAX_SUBJECT: Final = 150


@dataclass(frozen=True, slots=True, kw_only=True)
class UntoldAlerts:
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
    def seen(self) -> Alert:
        """Return the alarm as a mail tells it: of an error the text that tenants may read."""
        facts = {name: value for name, value in self.newest.facts.items() if name != "exception"}
        return self.newest.with_facts(facts)


@dataclass(frozen=True, slots=True)
class Mail:
    """A subject without the host's prefix, and a text."""

    subject: str
    text: str


def mail_about(entry: UntoldAlerts, now: dt.datetime) -> Mail:
    """Return the mail about one alarm, in the active language and time zone."""
    seen = entry.seen
    words = words_of(seen, now)
    parts = [_what(words), "\n".join(_sentences(entry, seen, words, now)), _link()]
    return Mail(_headline(seen, words), "\n\n".join(part for part in parts if part) + "\n")


def summary_of(entries: Sequence[UntoldAlerts], now: dt.datetime) -> Mail:
    """Return one mail about many alarms, in the active language and time zone."""
    raised = len([entry for entry in entries if entry.newest.is_open])
    over = len(entries) - raised
    lines = [_line(entry, now) for entry in entries[:MAX_TOLD]]
    if len(entries) > MAX_TOLD:
        lines.append(_("and %(count)s more") % {"count": len(entries) - MAX_TOLD})
    parts = ["\n".join(lines), _link()]
    subject = _("Alarms: %(raised)s raised, %(over)s over") % {"raised": raised, "over": over}
    return Mail(subject, "\n\n".join(part for part in parts if part) + "\n")


def _headline(seen: Alert, words: Words) -> str:
    text = _("Alarm: %(what)s") if seen.is_open else _("Over: %(what)s")
    return (text % {"what": _what(words)})[:MAX_SUBJECT]


def _what(words: Words) -> str:
    """Return what it is about, in one line: who names a schedule must not write paragraphs of the mail."""
    return one_line(f"{words.label}: {words.subject}" if words.subject else words.label)


def _line(entry: UntoldAlerts, now: dt.datetime) -> str:
    seen = entry.seen
    words = words_of(seen, now)
    return f"- {_headline(seen, words)}. {one_line(f'{words.text} {words.error}'.strip())}"


def _sentences(entry: UntoldAlerts, seen: Alert, words: Words, now: dt.datetime) -> Iterator[str]:
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
        yield _("It came back meanwhile, this many times: %(count)s.") % {"count": entry.returns}


def _link() -> str:
    """Return where the alarms are in the console: an address where the host says its own, else a path."""
    try:
        path = reverse("admin:django_jobs_alert_changelist")
    except Exception as error:  # noqa: BLE001  (the URLs are the host's, and this process may be unable to load them)
        if not isinstance(error, NoReverseMatch):  # that is a host without Django's admin
            logger.debug("event=alert_mail_without_link error=%r", error)
        return ""
    return _("See %(address)s") % {"address": f"{mail_base_url().rstrip('/')}{path}"}


# Mails to ADMINS about alarms: one when an alarm is raised, one when it is over, and never a flood.
#
# The leading scheduler sends them, from a thread of its own. What was told stands in the alarm's row, so nothing is
# lost with a mail server that refuses, or a scheduler that ends. A mail may come twice, where a scheduler dies right
# after it.
#
# Within timing.MAIL_WINDOW there are MOST mails at most. While the alarms to tell are fewer than the mails that are
# left, each has its own; else one summary tells all. When no mail is left, they wait. An alarm that comes again within
# timing.MAIL_QUIET of its last mail waits for the end of that, and is told as it is then.


DUTY: Final = "mail_alerts"
MOST: Final = 6


class Sending(threading.Thread):
    """Sends one mail. A mail backend that hangs holds up this thread alone, and further mails."""

    def __init__(self, mail: Mail, entries: Sequence[UntoldAlerts]) -> None:
        super().__init__(name="alert mail", daemon=True)
        self._mail = mail
        self.entries = entries
        self.error: BaseException | None = None
        self._late_at = time.monotonic() + timing.MAIL_PATIENCE_SECONDS

    def run(self) -> None:
        """Send it, and keep the error where that fails."""
        try:
            send_to_admins(self._mail.subject, self._mail.text)
        except BaseException as error:  # noqa: BLE001  (whatever a backend raises, the mail is tried again)
            self.error = error

    def complain_once(self) -> None:
        """Log that the mail backend hangs, once it has for MAIL_PATIENCE_SECONDS."""
        if time.monotonic() > self._late_at:
            self._late_at = math.inf
            logger.warning("event=alert_mail_hangs seconds=%.0f", timing.MAIL_PATIENCE_SECONDS)


class Mailer:
    """Sends what is to be told, for one scheduler, one mail after the other."""

    def __init__(self) -> None:
        self._sending: Sending | None = None
        self._failures = 0
        self._not_before = 0.0

    def step(self) -> tuple[int, float]:
        """Begin, or look after, one mail. Return how many have gone, and for how many seconds to rest."""
        if self._sending is None:
            self._sending = self._begin()
        if self._sending is None:
            pause = self._not_before - time.monotonic()
            return 0, pause if pause > 0 else timing.MAIL_LOOK_SECONDS
        self._sending.join(timing.MAIL_POLL_SECONDS)
        if self._sending.is_alive():
            self._sending.complain_once()
            return 0, timing.MAIL_POLL_SECONDS
        if self._sending.error is not None:
            return self._failed(self._sending.error)
        # Raises while the database is away: then it is noted at the next step.
        note(self._sending.entries, database.now())
        if self._failures:
            logger.info("event=alert_mail_sent_at_last failures=%s", self._failures)
        self._sending, self._failures = None, 0
        return 1, 0.0

    def _begin(self) -> Sending | None:
        if not is_mail_on() or time.monotonic() < self._not_before:
            return None
        found = next_mail(database.now())
        if found is None:
            return None
        sending = Sending(*found)
        sending.start()
        return sending

    def _failed(self, error: BaseException) -> tuple[int, float]:
        self._sending = None
        self._failures += 1
        pause = min(timing.LONGEST_MAIL_RETRY_SECONDS, timing.MAIL_RETRY_SECONDS * 2 ** min(self._failures - 1, 10))
        self._not_before = time.monotonic() + pause
        level = logging.WARNING if self._failures == 1 else logging.INFO
        logger.log(level, "event=alert_mail_failed failures=%s again_in=%.0f error=%r", self._failures, pause, error)
        return 0, pause


def next_mail(now: dt.datetime) -> tuple[Mail, Sequence[UntoldAlerts]] | None:
    """Return the next mail and what it tells; None where there is none, or none may go now."""
    entries = sorted(_entries(now), key=_urgency)
    left = MOST - _count_of_mails(now) if entries else 0
    if left <= 0:
        return None
    with translation.override(settings.LANGUAGE_CODE), timezone.override(timezone.get_default_timezone()):
        if len(entries) == 1 or len(entries) < left:
            return mail_about(entries[0], now), entries[:1]
        return summary_of(entries, now), entries


def note(entries: Sequence[UntoldAlerts], now: dt.datetime) -> None:
    """Store that these were told now, as they were then."""
    rows = [row for entry in entries for row in entry.rows]
    raised = [row.pk for row in rows if row.raise_mailed_at is None]
    over = [row.pk for row in rows if not row.is_open]
    Alert.primary.filter(pk__in=raised).update(raise_mailed_at=now)
    Alert.primary.filter(pk__in=over).update(clear_mailed_at=now)


def _entries(now: dt.datetime) -> Iterator[UntoldAlerts]:
    """Yield what is to be told, but for what came again too soon."""
    is_untold = Q(open_key__isnull=False, raise_mailed_at=None)
    is_over = Q(cleared_at__isnull=False, clear_mailed_at=None)
    is_over &= Q(raise_mailed_at__isnull=False) | Q(cleared_at__gte=now - timing.MAIL_LATE)
    grouped: dict[tuple[str, str], list[Alert]] = defaultdict(list)
    for row in Alert.primary.filter(is_untold | is_over, rule__in=list(RULES)).order_by("pk"):
        grouped[row.rule, row.subject].append(row)
    lately = _told_lately(now) if grouped else set()
    for key, rows in grouped.items():
        told = [row for row in rows if row.raise_mailed_at is not None]
        if key not in lately:
            yield UntoldAlerts(rows=rows)
        elif told and not rows[-1].is_open:  # its first end is told at once
            yield UntoldAlerts(rows=told)


def _told_lately(now: dt.datetime) -> set[tuple[str, str]]:
    """Return the rules and subjects of which a mail told that they were raised, not long ago.

    What is still to come was written before the clock was set back, and holds up nothing.
    """
    rows = Alert.primary.filter(raise_mailed_at__range=(now - timing.MAIL_QUIET, now))
    return set(rows.values_list("rule", "subject"))


def _count_of_mails(now: dt.datetime) -> int:
    """Return how many mails went lately: what one told has one moment."""
    moments: set[dt.datetime | None] = set()
    for name in ("raise_mailed_at", "clear_mailed_at"):
        moments |= set(
            Alert.primary.filter(**{f"{name}__range": (now - timing.MAIL_WINDOW, now)}).values_list(name, flat=True)
        )
    return len(moments)


def _urgency(entry: UntoldAlerts) -> tuple[bool, int, int]:
    rule = entry.newest.rule
    return not entry.newest.is_open, BY_URGENCY.index(rule), entry.newest.pk
