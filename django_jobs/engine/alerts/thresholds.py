"""The rules of the setting ALERTS and their thresholds: the defaults, what the host set, and what is wrong there."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.conf import settings

from django_jobs.conf import jobs_settings

TYPE_FAILING: Final = "type_failing"
QUEUE_WAITING: Final = "queue_waiting"
NO_WORKER: Final = "no_worker"
NO_SCHEDULER: Final = "no_scheduler"
DEAD_LETTERS: Final = "dead_letters"
SCHEDULE_CANNOT_FIRE: Final = "schedule_cannot_fire"
BREAKER_OPEN: Final = "breaker_open"
DUTY_STALLED: Final = "duty_stalled"
#: The key beside the rules that says whether ADMINS get mails, and where the host is.
MAIL: Final = "mail"
BASE_URL: Final = "base_url"

DAY: Final = 86_400
MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Threshold:
    """A number that a rule goes by: its default, and the least and the most that make sense."""

    default: float
    least: float
    most: float
    is_whole: bool = True

    def is_met_by(self, value: object) -> bool:
        """Return whether this is a number that makes sense."""
        kinds = int if self.is_whole else int | float
        return not isinstance(value, bool) and isinstance(value, kinds) and self.least <= value <= self.most

    @property
    def words(self) -> str:
        """Return which numbers make sense, for people."""
        return f"a {'whole ' if self.is_whole else ''}number from {self.least:,} to {self.most:,}"


#: Every rule, with its thresholds.
RULES: Final[Mapping[str, Mapping[str, Threshold]]] = {
    TYPE_FAILING: {
        "share": Threshold(0.5, 0.01, 1, is_whole=False),
        "attempts": Threshold(5, 1, MILLION),
        "seconds": Threshold(900, 60, DAY),
    },
    QUEUE_WAITING: {"seconds": Threshold(300, 10, 7 * DAY), "busy_seconds": Threshold(3_600, 60, DAY)},
    NO_WORKER: {"seconds": Threshold(60, 10, 7 * DAY)},
    NO_SCHEDULER: {},
    DEAD_LETTERS: {"count": Threshold(100, 1, MILLION), "seconds": Threshold(3_600, 60, DAY)},
    SCHEDULE_CANNOT_FIRE: {},
    BREAKER_OPEN: {},
    DUTY_STALLED: {},
}
#: In this order alarms are told: what stops everything, what stops something, what may wait until the morning.
BY_URGENCY: Final = (
    NO_SCHEDULER,
    DUTY_STALLED,
    NO_WORKER,
    BREAKER_OPEN,
    TYPE_FAILING,
    QUEUE_WAITING,
    DEAD_LETTERS,
    SCHEDULE_CANNOT_FIRE,
)


def thresholds_of(rule: str) -> dict[str, Any] | None:
    """Return the thresholds of a rule as the host set them; None where it is switched off.

    What system checks refuse has its default.
    """
    given = _given()
    value = given.get(rule, {})
    if rule in given and (value is None or value is False):
        return None
    chosen = value if isinstance(value, Mapping) else {}
    return {
        name: chosen[name] if name in chosen and known.is_met_by(chosen[name]) else known.default
        for name, known in RULES[rule].items()
    }


def is_on(rule: str) -> bool:
    """Return whether the host has not switched the rule off."""
    return thresholds_of(rule) is not None


def problems() -> Iterator[str]:
    """Yield what is wrong with the setting, each as the end of a sentence about ``DJANGO_JOBS['ALERTS']``."""
    given = jobs_settings.ALERTS
    if not isinstance(given, Mapping):
        yield f"must be a dict of rules by their names, not {given!r}"
        return
    for rule, value in given.items():
        if rule == MAIL:
            yield from _problems_of_mail(value)
        elif rule not in RULES:
            yield f"has an unknown rule {rule!r}. There are {', '.join(RULES)}, and {MAIL!r}"
        elif value is not None and value is not False:
            yield from _problems_of(rule, value)


def _problems_of(rule: str, value: object) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"has {value!r} for {rule!r}, which must be a dict of thresholds, or None to switch the rule off"
        return
    known = RULES[rule]
    for name, number in value.items():
        if name not in known:
            yield f"has an unknown threshold {name!r} of {rule!r}. There are {', '.join(known) or 'none'}"
        elif not known[name].is_met_by(number):
            yield f"has {number!r} for {name!r} of {rule!r}, which must be {known[name].words}"


def _problems_of_mail(value: object) -> Iterator[str]:
    if value is None or isinstance(value, bool):
        return
    if not isinstance(value, Mapping) or not value or set(value) - {BASE_URL}:
        yield f"has {value!r} for {MAIL!r}, which must be True, False, or {{{BASE_URL!r}: 'https://example.com'}}"
    elif not str(value.get(BASE_URL, "https://")).startswith(("http://", "https://")):
        yield f"has {value[BASE_URL]!r} for {BASE_URL!r} of {MAIL!r}, which must begin with https:// or http://"


def is_mail_on() -> bool:
    """Return whether alarms are told by mail: to ADMINS where there are some, unless the host switched it off."""
    return bool(settings.ADMINS) and bool(_given().get(MAIL, True))


def mail_base_url() -> str:
    """Return the address of the host's site, as the host says it; blank where it does not."""
    chosen = _given().get(MAIL)
    return str(chosen.get(BASE_URL, "")) if isinstance(chosen, Mapping) else ""


def _given() -> Mapping[str, Any]:
    given = jobs_settings.ALERTS
    return given if isinstance(given, Mapping) else {}


# What a rule is given to look with, and what it returns.


#: How many subjects of one rule may be wrong at once. There is no use in more sentences.
MAX_FINDINGS: Final = 50
#: Characters of an error.
MAX_ERROR: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertFinding:
    """Something that is wrong with a subject. ``facts`` can be stored as JSON."""

    subject: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Round:
    """What all rules of one evaluation share: its moment, and what was found."""

    moment: dt.datetime
    #: The subjects that were found in this round, by rule.
    found: dict[str, Collection[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleContext:
    """What one rule looks with: the round, its thresholds, and the facts of its open alarms by subject."""

    round: Round
    thresholds: Mapping[str, Any]
    open: Mapping[str, Mapping[str, Any]]

    @property
    def moment(self) -> dt.datetime:
        """Return when the rules are evaluated, by the database's clock."""
        return self.round.moment

    def ago(self, seconds: float) -> dt.datetime:
        """Return the moment so many seconds before."""
        return self.moment - dt.timedelta(seconds=seconds)


def since_of(facts: Mapping[str, Any]) -> dt.datetime | None:
    """Return since when something is wrong, as facts have it; None where they do not say."""
    text = facts.get("since")
    return dt.datetime.fromisoformat(text) if isinstance(text, str) else None


def one_line(text: str) -> str:
    """Return an error in one line, as long as a sentence can have it."""
    shown = " ".join(text.split())
    return f"{shown[:MAX_ERROR]}…" if len(shown) > MAX_ERROR else shown
