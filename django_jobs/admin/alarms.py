"""Alarms: the list, and the panel over the pages."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.contrib import admin
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_jobs.admin.bar import Links, OpenPages, with_page
from django_jobs.admin.pages import Button, SeesJobs, is_system_admin, sees_jobs, view
from django_jobs.admin.writing import brief_duration
from django_jobs.engine.alerts import rules
from django_jobs.engine.alerts.reading import AlertsSeen, names_of_concerned, read_alerts, read_lately
from django_jobs.engine.alerts.telling import Words, moment_in_words, words_of
from django_jobs.models import Alert, Schedule
from django_jobs.statuses import Status

# Alarms: the page of those that are open, and of those that were over within the last day.


@admin.register(Alert)
class AlertAdmin(SeesJobs):
    """The page of alarms, and the part of it that an open page reads again."""

    only_own = True

    @view("", "changelist")
    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> TemplateResponse:
        context = self._read(request)
        return self.page(request, "alerts/page.html", _("Alarms"), _("Alarms"), live_url=self.url_of("live"), **context)

    @view("live/", "live")
    def _refresh(self, request: HttpRequest) -> TemplateResponse:
        """Return only the parts of the page that change."""
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/django_jobs/alerts/parts.html", self._read(request))

    def _read(self, request: HttpRequest) -> dict[str, Any]:
        found, site = read_alerts(request.user, has_over=True), self.admin_site.name
        return {
            "alarms": panel_of(request, site, found, self.url_of("changelist")),
            "over": rows_of_over(request, site, found),
        }


# The panel of open alarms, which stands on the monitor, on the page of alarms, and on the admin's index.


#: So many alarms are told on the index; the page of alarms has them all.
SHOWN_ON_INDEX: Final = 5
#: Organizations that are named; the others are counted.
MAX_NAMED: Final = 5
_ABOUT_PROCESSES: Final = frozenset({rules.NO_WORKER, rules.QUEUE_WAITING, rules.NO_SCHEDULER, rules.DUTY_STALLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRow:
    """An alarm as the panel shows it. ``spoken`` is what a screen reader says when it appears."""

    key: str
    words: Words
    url: str
    organizations: list[SafeString]
    more_organizations: int
    lasted: str
    is_open: bool
    buttons: list[Button]

    @property
    def spoken(self) -> str:
        """Return label and reason in one text."""
        told = (
            f"{self.words.label}: {self.words.subject}" if self.words.subject else self.words.label,
            self.words.text,
        )
        return ". ".join((told[0], f"{told[1]} {self.words.error}".strip()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """The open alarms. ``more`` is how many are not shown; without ``is_evaluated`` nobody looks for new ones."""

    rows: list[AlertRow]
    more: int
    url: str
    is_evaluated: bool
    is_system_admin: bool

    @property
    def count(self) -> int:
        """Return how many alarms are open."""
        return len(self.rows) + self.more


def lately(request: HttpRequest, site: str, back: str = "") -> Panel | None:
    """Return the panel as it was within ten seconds, for a page of the host; None for who sees no jobs.

    At most two statements, and none where both were read lately. ``back`` is where buttons lead afterwards.
    """
    if not sees_jobs(request.user):
        return None
    return _panel(request, site, read_lately(request.user), back, most=SHOWN_ON_INDEX)


def panel_of(request: HttpRequest, site: str, found: AlertsSeen, back: str) -> Panel:
    """Return the panel of the open ones of these alarms, with the names of organizations.

    ``back`` is where buttons lead afterwards.
    """
    return _panel(request, site, found, back, most=None)


def rows_of_over(request: HttpRequest, site: str, found: AlertsSeen) -> list[AlertRow]:
    """Return the alarms that are over, without buttons."""
    links, concerned = Links(site), _Concerned(request, site, found.over)
    return [_row(request, links, alert, found, "", concerned) for alert in found.over]


class _Concerned:
    """The organizations that alarms concern, with their names and pages, read in one statement or two for all.

    Also the pages of schedules that cannot fire, for a reader who manages these without managing all jobs.
    """

    def __init__(self, request: HttpRequest, site: str, alerts: Collection[Alert]) -> None:
        self._links = Links(site)
        self._names = names_of_concerned(alerts, MAX_NAMED)
        opens = OpenPages(request, site)
        self._pages = {str(pk): url for pk, url in opens.organizations(self._names).items()}
        pks = {alert.facts["schedule"] for alert in alerts if alert.facts.get("schedule") is not None}
        self._schedules = opens.rows(Schedule, pks) if alerts and not is_system_admin(request) else {}

    def told(self, alert: Alert) -> list[SafeString]:
        """Return the first of those that an alarm concerns, each with links to what it is about and to its page."""
        keys = [key for key in list(alert.organizations)[:MAX_NAMED] if key in self._names]
        return [with_page(self._names[key], self._url(alert, key), self._pages.get(key, "")) for key in keys]

    def schedule(self, alert: Alert) -> str:
        """Return the address of the alarm's schedule, for who manages it without managing all jobs."""
        return self._schedules.get(alert.facts.get("schedule") or 0, "")

    def _url(self, alert: Alert, key: str) -> str:
        organization = self._names[key]
        if alert.rule in {rules.TYPE_FAILING, rules.BREAKER_OPEN}:
            return self._links.failures(alert.subject, organization=organization)
        if alert.rule == rules.DEAD_LETTERS:
            return self._links.failures(organization=organization, status=str(Status.DEAD_LETTER))
        return self._links.jobs(organization=organization)


def _panel(request: HttpRequest, site: str, found: AlertsSeen, back: str, *, most: int | None) -> Panel:
    """Return the panel. With ``most``, it has so many alarms and names no organizations: that would be a statement."""
    links, shown = Links(site), found.open[:most]
    concerned = None if most is not None else _Concerned(request, site, shown)
    return Panel(
        rows=[_row(request, links, alert, found, back, concerned) for alert in shown],
        more=len(found.open) - len(shown),
        url=links.list("alert"),
        is_evaluated=found.leader.is_alive,
        is_system_admin=is_system_admin(request),
    )


def _row(
    request: HttpRequest, links: Links, alert: Alert, found: AlertsSeen, back: str, concerned: _Concerned | None
) -> AlertRow:
    named = concerned.told(alert) if concerned is not None else []
    may_act = is_system_admin(request)
    # Who manages a schedule is asked in statements of their own, and the index takes none: there it has no link.
    schedule = concerned.schedule(alert) if concerned is not None else ""
    if may_act:
        schedule = links.change("schedule", alert.facts["schedule"]) if alert.facts.get("schedule") else ""
    end = alert.cleared_at or found.moment
    return AlertRow(
        key=f"{alert.key}:{alert.pk or ''}",
        words=words_of(alert, found.moment),
        url=_subject_url(links, alert) if may_act else "",
        organizations=named,
        more_organizations=len(alert.organizations) - len(named) if named else 0,
        lasted=_lasted(alert, (end - alert.since).total_seconds(), found),
        is_open=alert.is_open,
        buttons=[item for item in _buttons(links, alert, back, schedule, may_act=may_act) if item.url]
        if alert.is_open
        else [],
    )


def _lasted(alert: Alert, seconds: float, found: AlertsSeen) -> str:
    values = {"duration": brief_duration(seconds)}
    if alert.cleared_at is None:
        return _("For %(duration)s now") % values
    return _("Over at %(time)s, after %(duration)s") % {
        **values,
        "time": moment_in_words(alert.cleared_at, found.moment),
    }


def _subject_url(links: Links, alert: Alert) -> str:
    if alert.rule in {rules.TYPE_FAILING, rules.BREAKER_OPEN}:
        return links.change("jobtype", alert.subject)
    if alert.rule == rules.SCHEDULE_CANNOT_FIRE and alert.facts.get("schedule"):
        return links.change("schedule", alert.facts["schedule"])
    if alert.rule in {rules.NO_WORKER, rules.QUEUE_WAITING}:
        return links.list("jobtype", pool=alert.facts.get("pool", alert.subject))
    return ""


def _buttons(links: Links, alert: Alert, back: str, schedule: str, *, may_act: bool) -> Iterator[Button]:
    """Yield the alarm's buttons. ``schedule`` is the address of its schedule, empty for who may not open that."""
    if alert.rule == rules.BREAKER_OPEN and may_act:
        fields = {"next": back}
        yield Button(words=_("Close now"), url=links.page("jobtype_close_breaker", alert.subject), fields=fields)
    if alert.rule in {rules.TYPE_FAILING, rules.BREAKER_OPEN}:
        yield from _about_type(links, alert, back, may_act=may_act)
    if alert.rule == rules.DEAD_LETTERS:
        yield Button(words=_("See failures"), url=links.failures())
    if alert.rule == rules.SCHEDULE_CANNOT_FIRE:
        yield Button(words=_("See what to do"), url=schedule)
    if alert.rule in _ABOUT_PROCESSES and may_act:
        yield Button(words=_("Workers"), url=links.list("worker"))


def _about_type(links: Links, alert: Alert, back: str, *, may_act: bool) -> Iterator[Button]:
    verb, words = "pause", _("Pause type")
    if alert.facts.get("is_disabled"):
        verb, words = "enable", _("Enable type")
    elif alert.facts.get("is_paused"):
        verb, words = "resume", _("Resume type")
    if may_act:
        yield Button(words=words, url=links.page(f"jobtype_{verb}", alert.subject), fields={"next": back})
    yield Button(words=_("See failures"), url=links.failures(alert.subject))
    if may_act and alert.rule == rules.TYPE_FAILING:
        fingerprint = str(alert.facts.get("fingerprint") or "")
        fields = {"job_type": alert.subject, "action": "retry_one", "next": back}
        own = {"fingerprint": fingerprint} if fingerprint else {}
        yield Button(words=_("Retry one"), url=links.page("failure_act"), fields=fields | own)
