"""Alarms in sentences, in the reader's language. For answers that are never translated, :func:`plain_text`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.utils import timezone, translation
from django.utils.formats import date_format, number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_jobs.engine.alerts import thresholds
from django_jobs.engine.alerts.advice import advice_on
from django_jobs.engine.alerts.seen_alerts import AlertSeen
from django_jobs.statuses import BreakerState
from django_jobs.texts import left_to_right

Facts = Mapping[str, Any]
#: What a rule is called, as a heading and by a screen reader.
LABELS: Final[Mapping[str, Any]] = {
    thresholds.TYPE_FAILING: gettext_lazy("A job type fails"),
    thresholds.QUEUE_WAITING: gettext_lazy("A queue waits"),
    thresholds.NO_WORKER: gettext_lazy("No worker"),
    thresholds.NO_SCHEDULER: gettext_lazy("No scheduler"),
    thresholds.DEAD_LETTERS: gettext_lazy("Many dead letters"),
    thresholds.SCHEDULE_CANNOT_FIRE: gettext_lazy("A schedule cannot fire"),
    thresholds.BREAKER_OPEN: gettext_lazy("A breaker is open"),
    thresholds.DUTY_STALLED: gettext_lazy("A duty of the scheduler is stalled"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """An alarm in words. ``text`` is one sentence or more without the subject, ``advice`` is for system admins."""

    label: str
    subject: str
    text: str
    error: str = ""
    concerned: str = ""
    advice: str = ""


def words_of(alert: AlertSeen, now: dt.datetime) -> Words:
    """Return the alarm in the active language and time zone."""
    facts = alert.facts
    since = moment_in_words(alert.since, now)
    text = _OWN[alert.rule](facts, since) if alert.is_partial else _WHOLE[alert.rule](facts, since)
    return Words(
        label=str(LABELS[alert.rule]),
        subject=_subject(alert),
        text=text,
        error=str(facts.get("exception") or facts.get("error") or ""),
        concerned=_concerned(alert),
        advice="" if alert.is_partial else advice_on(alert),
    )


def plain_text(alert: AlertSeen, now: dt.datetime) -> str:
    """Return the alarm in one line of English, with moments in UTC."""
    with translation.override(None), timezone.override(dt.UTC):
        words = words_of(alert, now)
        head = words.subject or words.label
        error = f"{words.error}." if words.error and words.error[-1] not in ".!?…" else words.error
        parts = [f"{head}: {words.text}", error, words.concerned, words.advice]
        return " ".join(part for part in parts if part)


def moment_in_words(moment: dt.datetime, now: dt.datetime) -> str:
    """Return a moment in the active time zone, with the zone's name; with the day where that is another one."""
    local = timezone.localtime(moment)
    # Else the zone draws the number of what follows to its side.
    clock = left_to_right(f"{date_format(local, 'H:i')} {local:%Z}")
    if local.date() == timezone.localtime(now).date():
        return clock
    return _("%(day)s, %(time)s") % {"day": date_format(local, "MONTH_DAY_FORMAT"), "time": clock}


def _subject(alert: AlertSeen) -> str:
    names = {thresholds.NO_WORKER: _("Pool %(name)s"), thresholds.QUEUE_WAITING: _("Queue %(name)s")}
    return names.get(alert.rule, "%(name)s") % {"name": alert.subject} if alert.subject else ""


def _concerned(alert: AlertSeen) -> str:
    count = len([key for key, jobs in alert.organizations.items() if jobs])
    if not count or alert.is_partial:
        return ""
    if alert.facts.get("has_more"):
        text = ngettext("%(count)s organization or more.", "%(count)s organizations or more.", count)
    else:
        text = ngettext("%(count)s organization.", "%(count)s organizations.", count)
    return text % {"count": _number(count)}


def _number(count: Any, *, has_more: Any = False) -> str:
    number = number_format(count, force_grouping=True)
    return f"{number}+" if has_more else number


def _minutes(facts: Facts) -> str:
    minutes = round(facts.get("seconds", 0) / 60, 1)
    return _number(int(minutes) if minutes == int(minutes) else minutes)


def _type_failing(facts: Facts, since: str) -> str:
    failed, attempts = facts.get("failed", 0), facts.get("attempts", 0)
    text = ngettext(
        "%(failed)s of %(attempts)s attempt failed since %(since)s.",
        "%(failed)s of %(attempts)s attempts failed since %(since)s.",
        attempts,
    )
    told = text % {"failed": _number(failed), "attempts": _number(attempts), "since": since}
    if facts.get("is_disabled"):
        return f"{told} {_('The type is disabled: what is retried waits until it is enabled.')}"
    if facts.get("is_paused"):
        return f"{told} {_('The type is paused: what is retried waits until it is resumed.')}"
    return told


def _own_jobs(facts: Facts) -> int:
    return sum(count for count in facts.get("organizations", {}).values() if isinstance(count, int))


def _own_type_failing(facts: Facts, since: str) -> str:
    count = _own_jobs(facts)
    text = ngettext(
        "Most attempts have failed since %(since)s; %(count)s job of yours failed.",
        "Most attempts have failed since %(since)s; %(count)s jobs of yours failed.",
        count,
    )
    return text % {"since": since, "count": _number(count)}


def _queue_waiting(facts: Facts, since: str) -> str:
    count = facts.get("waiting", 0)
    values = {
        "count": _number(count),
        "minutes": _minutes(facts),
        "free": _number(facts.get("free", 0)),
        "slots": _number(facts.get("slots", 0)),
        "since": since,
    }
    waits = ngettext(
        "At least %(count)s job has been due for more than %(minutes)s min, and no limit holds it back.",
        "At least %(count)s jobs have been due for more than %(minutes)s min, and no limit holds them back.",
        count,
    )
    if not facts.get("slots"):
        reason = _("No live worker serves the queue. Noticed at %(since)s.")
    elif facts.get("free"):
        reason = _("Of the %(slots)s slots of its workers %(free)s are free. Noticed at %(since)s.")
    else:
        reason = _("All %(slots)s slots of its workers are busy, and none started meanwhile. Noticed at %(since)s.")
    return f"{waits % values} {reason % values}"


def _no_worker(facts: Facts, since: str) -> str:
    count = facts.get("waiting", 0)
    text = ngettext(
        "No live worker serves this pool, and %(count)s job waits. Noticed at %(since)s.",
        "No live worker serves this pool, and %(count)s jobs wait. Noticed at %(since)s.",
        count,
    )
    return text % {"since": since, "count": _number(count, has_more=facts.get("has_more_waiting"))}


def _no_scheduler(facts: Facts, since: str) -> str:
    halted = _("Retries, delayed jobs, schedules, the rescue of lost jobs and these alarms stand still.")
    if not facts.get("has_run"):
        return f"{_('The scheduler has never run.')} {halted}"
    return f"{_('The scheduler has been silent since %(since)s.') % {'since': since}} {halted}"


def _dead_letters(facts: Facts, since: str) -> str:
    count = facts.get("count", 0)
    text = ngettext(
        "%(count)s job died within %(minutes)s min. Noticed at %(since)s.",
        "%(count)s jobs died within %(minutes)s min. Noticed at %(since)s.",
        count,
    )
    return text % {"count": _number(count), "minutes": _minutes(facts), "since": since}


def _own_dead_letters(facts: Facts, since: str) -> str:
    count = _own_jobs(facts)
    text = ngettext(
        "Many jobs died within %(minutes)s min, %(count)s of yours among them. Noticed at %(since)s.",
        "Many jobs died within %(minutes)s min, %(count)s of yours among them. Noticed at %(since)s.",
        count,
    )
    return text % {"count": _number(count), "minutes": _minutes(facts), "since": since}


def _schedule_cannot_fire(_facts: Facts, since: str) -> str:
    return _("This schedule has not been able to fire since %(since)s.") % {"since": since}


def _duty_stalled(facts: Facts, since: str) -> str:
    text = _("This duty of the scheduler %(scheduler)s has made no round since %(since)s.")
    return text % {"scheduler": facts.get("scheduler", ""), "since": since}


def _breaker_open(facts: Facts, since: str) -> str:
    count, failures = facts.get("waiting", 0), facts.get("failed", 0)
    failed = ngettext(
        "Held by its breaker since %(since)s; its last attempt failed.",
        "Held by its breaker since %(since)s; its last %(failed)s attempts failed.",
        failures,
    )
    if facts.get("state") == BreakerState.RECOVERING:
        failed = _("Held by its breaker since %(since)s. A job got through now, so that more and more of them start.")
    alone = _("It holds the jobs of %(organization)s alone.") if facts.get("organization") else ""
    waits = ngettext("%(count)s job waits.", "%(count)s jobs wait.", count)
    values = {
        "since": since,
        "failed": _number(failures),
        "organization": facts.get("organization", ""),
        "count": _number(count, has_more=facts.get("has_more_waiting")),
    }
    told = [failed, alone, waits if "waiting" in facts else ""]
    return " ".join(text % values for text in told if text)


def _own_breaker_open(facts: Facts, since: str) -> str:
    if facts.get("state") == BreakerState.RECOVERING:
        return _("On hold since %(since)s. A job got through now, so that more and more start.") % {"since": since}
    text = _("On hold since %(since)s: its last attempts failed, and its jobs wait until one gets through.")
    return text % {"since": since}


_WHOLE: Final[Mapping[str, Callable[[Facts, str], str]]] = {
    thresholds.TYPE_FAILING: _type_failing,
    thresholds.QUEUE_WAITING: _queue_waiting,
    thresholds.NO_WORKER: _no_worker,
    thresholds.NO_SCHEDULER: _no_scheduler,
    thresholds.DEAD_LETTERS: _dead_letters,
    thresholds.SCHEDULE_CANNOT_FIRE: _schedule_cannot_fire,
    thresholds.BREAKER_OPEN: _breaker_open,
    thresholds.DUTY_STALLED: _duty_stalled,
}
#: For those who see some of the organizations only.
_OWN: Final[Mapping[str, Callable[[Facts, str], str]]] = {
    **_WHOLE,
    thresholds.TYPE_FAILING: _own_type_failing,
    thresholds.DEAD_LETTERS: _own_dead_letters,
    thresholds.BREAKER_OPEN: _own_breaker_open,
}
