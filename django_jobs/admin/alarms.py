"""Alarms: the list, and the panel over the pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from django.contrib import admin
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from django_jobs.admin.bar import OpenPages, with_page
from django_jobs.admin.pages import Button, Links, SeesJobs, is_system_admin, sees_jobs, view
from django_jobs.admin.writing import brief_duration
from django_jobs.engine.alerts import rules
from django_jobs.engine.alerts.reading import AlertsSeen, names_of_concerned, read_alerts, read_lately
from django_jobs.engine.alerts.telling import moment_in_words, words_of
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
        return self.page(
            request,
            "alerts/page.html",
            capfirst(_("alarms")),
            capfirst(_("alarms")),
            live_url=self.url_of("live"),
            **context,
        )

    @view("live/", "live")
    def _refresh(self, request: HttpRequest) -> TemplateResponse:
        """Return only the parts of the page that change."""
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/django_jobs/alerts/parts.html", self._read(request))

    def _read(self, request: HttpRequest) -> dict[str, Any]:
        found, site = read_alerts(request.user, has_over=True), self.admin_site.name
        return {
            "alarms": panel_of(request, site, found, self.url_of("changelist")),
            "over": list(AlertRows(request, site, found, found.over)),
        }


# The panel of open alarms, which stands on the monitor, on the page of alarms, and on the admin's index.


#: So many alarms are told on the index; the page of alarms has them all.
SHOWN_ON_INDEX: Final = 5
#: Organizations that are named; the others are counted.
MAX_NAMED: Final = 5
_ABOUT_PROCESSES: Final = frozenset({rules.NO_WORKER, rules.QUEUE_WAITING, rules.NO_SCHEDULER, rules.DUTY_STALLED})


def lately(request: HttpRequest, site: str, back: str = "") -> dict[str, Any] | None:
    """Return the panel as it was within ten seconds, for a page of the host; None for who sees no jobs.

    It names no organizations, to read little: where the alarms were read lately, nothing but the organizations of a
    reader who is no system admin, while some are open. ``back`` is where buttons lead afterwards.
    """
    if not sees_jobs(request):
        return None
    found = read_lately(request.user)
    return _panel(AlertRows(request, site, found, found.open[:SHOWN_ON_INDEX], back, names=False))


def panel_of(request: HttpRequest, site: str, found: AlertsSeen, back: str) -> dict[str, Any]:
    """Return the panel of the open ones of these alarms, with the names of organizations.

    ``back`` is where buttons lead afterwards.
    """
    return _panel(AlertRows(request, site, found, found.open, back))


def _panel(rows: AlertRows) -> dict[str, Any]:
    """Return the open alarms. ``more`` are not shown; without ``is_evaluated`` nobody looks for new ones."""
    return {
        "rows": list(rows),
        "count": len(rows.found.open),
        "more": len(rows.found.open) - len(rows.alerts),
        "url": rows.links.list("alert"),
        "is_evaluated": rows.found.leader.is_alive,
    }


class AlertRows:
    """Alarms as a panel shows them.

    The organizations that they concern are named, and read with their pages in one statement or two for all. So are the
    pages of schedules that cannot fire, for a reader who manages these without managing all jobs. Without ``names``
    nothing is read.
    """

    def __init__(
        self,
        request: HttpRequest,
        site: str,
        found: AlertsSeen,
        alerts: Sequence[Alert],
        back: str = "",
        *,
        names: bool = True,
    ) -> None:
        self.links, self.found, self.alerts, self.back = Links(site), found, alerts, back
        self._may_act = is_system_admin(request)
        self._names = names_of_concerned(alerts, MAX_NAMED) if names else {}
        opens = OpenPages(request, site)
        self._pages = {str(pk): url for pk, url in opens.organizations(self._names).items()}
        pks = {alert.facts["schedule"] for alert in alerts if alert.facts.get("schedule") is not None}
        self._schedules = opens.rows(Schedule, pks) if names and not self._may_act else {}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return map(self._row, self.alerts)

    def _row(self, alert: Alert) -> dict[str, Any]:
        """Return one alarm. ``spoken`` is what a screen reader says when it appears."""
        words, named = words_of(alert, self.found.moment), self._concerned(alert)
        heading = f"{words.label}: {words.subject}" if words.subject else words.label
        end = alert.cleared_at or self.found.moment
        return {
            "key": f"{alert.key}:{alert.pk or ''}",
            "words": words,
            "spoken": ". ".join((heading, f"{words.text} {words.error}".strip())),
            "url": _subject_url(self.links, alert) if self._may_act else "",
            "organizations": named,
            "more_organizations": len(alert.organizations) - len(named) if named else 0,
            "lasted": _lasted(alert, (end - alert.since).total_seconds(), self.found),
            "is_open": alert.is_open,
            "buttons": [item for item in self._buttons(alert) if item.url] if alert.is_open else [],
        }

    def _concerned(self, alert: Alert) -> list[SafeString]:
        """Return the first of those that an alarm concerns, each with links to what it is about and to its page."""
        named = [(key, self._names[key]) for key in list(alert.organizations)[:MAX_NAMED] if key in self._names]
        return [with_page(name, self._url(alert, name), self._pages.get(key, "")) for key, name in named]

    def _url(self, alert: Alert, organization: str) -> str:
        if alert.rule in {rules.TYPE_FAILING, rules.BREAKER_OPEN}:
            return self.links.failures(alert.subject, organization=organization)
        if alert.rule == rules.DEAD_LETTERS:
            return self.links.failures(organization=organization, status=str(Status.DEAD_LETTER))
        return self.links.jobs(organization=organization)

    def _buttons(self, alert: Alert) -> Iterator[Button]:
        """Yield the alarm's buttons; one without an address leads to a page that the reader may not open."""
        links = self.links
        if alert.rule == rules.BREAKER_OPEN and self._may_act:
            fields = {"next": self.back}
            yield Button(words=_("Close now"), url=links.page("jobtype_close_breaker", alert.subject), fields=fields)
        if alert.rule in {rules.TYPE_FAILING, rules.BREAKER_OPEN}:
            yield from _about_type(links, alert, self.back, may_act=self._may_act)
        if alert.rule == rules.DEAD_LETTERS:
            yield Button(words=_("See failures"), url=links.failures())
        if alert.rule == rules.SCHEDULE_CANNOT_FIRE:
            # Who manages a schedule is asked in statements of their own, and the index takes none: no link there.
            own_url = self._schedules.get(alert.facts.get("schedule") or 0, "")
            yield Button(words=_("See what to do"), url=_subject_url(links, alert) if self._may_act else own_url)
        if alert.rule in _ABOUT_PROCESSES and self._may_act:
            yield Button(words=capfirst(_("workers")), url=links.list("worker"))


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


def _about_type(links: Links, alert: Alert, back: str, *, may_act: bool) -> Iterator[Button]:
    verb, words = "pause", _("Pause the type")
    if alert.facts.get("is_disabled"):
        verb, words = "enable", _("Enable the type")
    elif alert.facts.get("is_paused"):
        verb, words = "resume", _("Resume the type")
    if may_act:
        yield Button(words=words, url=links.page(f"jobtype_{verb}", alert.subject), fields={"next": back})
    yield Button(words=_("See failures"), url=links.failures(alert.subject))
    if may_act and alert.rule == rules.TYPE_FAILING:
        fingerprint = str(alert.facts.get("fingerprint") or "")
        fields = {"job_type": alert.subject, "action": "retry_one", "next": back}
        own = {"error_fingerprint": fingerprint} if fingerprint else {}
        yield Button(words=_("Retry one"), url=links.page("failure_act"), fields=fields | own)
