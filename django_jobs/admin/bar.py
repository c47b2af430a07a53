"""The bar over all pages, its numbers, time ranges, and links to the pages that this admin site has."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.apps import apps
from django.contrib import admin
from django.contrib.admin.sites import all_sites
from django.contrib.admin.utils import quote
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.timezone import localtime
from django.utils.translation import gettext, gettext_lazy, pgettext
from django.utils.translation import gettext as _

from django_jobs.admin.pages import Links, bar_numbers, tenant
from django_jobs.admin.writing import CappedCount, line, linked, zone_text
from django_jobs.engine.alerts.reading import read_lately
from django_jobs.engine.dispatch.window import live_workers
from django_jobs.engine.insight.inspection import blocked, jobs
from django_jobs.engine.organizations import is_gone, shown_id
from django_jobs.engine.scope import Scope, scope_of
from django_jobs.engine.store.counting import MAX_COUNT, capped_counts
from django_jobs.engine.store.database import store
from django_jobs.engine.store.values import start_of
from django_jobs.models import Job, JobType, Span, Worker, get_organization_model
from django_jobs.models.operation import OPEN
from django_jobs.statuses import IN_FLIGHT, WITH_ERRORS

# The pages that somebody may open: a link that leads to a refusal, or to nothing, is none.


#: Characters of a name.
NAME = 60


class OpenPages:
    """Addresses of pages in the admin site of this name, for the user of a request.

    Each is empty where the user may not open it, or where it would find nothing.
    """

    def __init__(self, request: HttpRequest, site: str) -> None:
        self.links, self.user, self.scope = Links(site), request.user, scope_of(request)
        self._request = request
        self._site = site_named(site)
        self._opened: dict[type[Model], bool] = {}

    def job_type(self, kind: JobType | None) -> str:
        """Return the address of a type's page; None stands for a type that is gone."""
        return self.links.change("jobtype", kind.pk) if kind is not None and self.opens(JobType) else ""

    def organizations(self, pks: Collection[Any]) -> dict[Any, str]:
        """Return the addresses of the pages of these organizations, by primary key.

        They are there, and the user sees their jobs. A host's admin, which may show fewer, is asked in one statement.
        """
        model = get_organization_model()
        if not pks or not self.opens(model):
            return {}
        shown, model_admin = set(pks), self._site.get_model_admin(model)
        if not getattr(model_admin, "shows_all_seen", False):
            rows = model_admin.get_queryset(self._request).filter(pk__in=shown)
            shown = set(rows.order_by().values_list("pk", flat=True))
        name = f"{self._site.name}:{model._meta.app_label}_{model._meta.model_name}_change"
        return {pk: reverse(name, args=(quote(pk),)) for pk in shown}

    def organization(self, pk: Any) -> str:
        """Return the address of the page of an organization that is there."""
        return self.organizations([pk]).get(pk, "")

    def rows(self, model: type[Model], pks: Collection[int]) -> dict[int, str]:
        """Return the addresses of the pages of these rows, by primary key: of those that the user sees."""
        if not pks or not self.opens(model):
            return {}
        rows = self._site.get_model_admin(model).get_queryset(self._request).filter(pk__in=set(pks)).order_by()
        return {pk: self.links.change(str(model._meta.model_name), pk) for pk in rows.values_list("pk", flat=True)}

    def workers(self) -> str:
        """Return the address of the page of workers."""
        return self.links.list("worker") if self.opens(Worker) else ""

    def job(self, job: Job) -> str:
        """Return the address of the page of a job of an organization whose jobs the user sees.

        A host's policy may hide single jobs of it.
        """
        may_open = self.opens(Job) and self.scope.shows(job)
        return self.links.change("job", job.pk) if may_open else ""

    def of_jobs(self, address: str) -> str:
        """Return this address of a page about jobs, for who may open those."""
        return address if self.opens(Job) else ""

    def opens(self, model: type[Model]) -> bool:
        """Return whether the user may open pages of this model. A host's organizations may have no pages here."""
        if model not in self._opened:
            has_pages = self._site.is_registered(model)
            self._opened[model] = has_pages and self._site.get_model_admin(model).has_view_or_change_permission(
                self._request
            )
        return self._opened[model]


def tenant_name(pk: Any, tenant: Any) -> str:
    """Return the name of an organization for people; of one that is gone its key."""
    return str(tenant) if tenant is not None else f"{pk} ({_('deleted')})"


def with_page(name: str, url: str, page_url: str) -> SafeString:
    """Return an organization's name as a link to what is told of it, and behind it a link to its own page."""
    shown = linked(url, line(name, NAME))
    if not page_url:
        return format_html("{}", shown)
    # Translators: a short link behind an organization's name, which leads to the organization's own page.
    words = pgettext("of an organization", "page")
    title = _("The page of %(organization)s") % {"organization": name}
    return format_html('{} <a class="djobs-own-page" href="{}" aria-label="{}">{}</a>', shown, page_url, title, words)


def organization_line(pages: OpenPages, row: Any) -> SafeString | str:
    """Return the id of the organization of a job or a batch, as a link to its page or else to its jobs.

    That of a deleted one is no link.
    """
    url = (
        "" if is_gone(row) else pages.organization(row.organization_id) or pages.links.jobs(organization=shown_id(row))
    )
    return linked(url, tenant(row))


def jobs_of(links: Links, term: str, name: str, limit: int = NAME) -> SafeString | str:
    """Return the name of an owner or a worker as a link to their jobs; ``term`` is that of the filter."""
    return linked(links.jobs(**{term: name}) if name else "", line(name, limit))


# The numbers in the bar: counted up to a bound, and kept for some seconds for all who see the same jobs.


#: How old a number may be.
SECONDS: Final = 5.0


def read_counts(scope: Scope, wanted: frozenset[str]) -> Mapping[str, CappedCount]:
    """Return the wanted numbers of what this user may see, by model, as they were some seconds ago at most."""
    key = ("all" if scope.is_system_admin else scope.user.pk, wanted)
    counts = bar_numbers.fresh(key)
    if counts is None:
        counts = bar_numbers.put(key, {name: _COUNTS[name](scope) for name in sorted(wanted)}, SECONDS)
    return counts


def _sum(*parts: QuerySet[Any]) -> CappedCount:
    """Return how many rows there are in all, counted up to the bound, by one statement."""
    return CappedCount.up_to(MAX_COUNT, sum(capped_counts(parts, MAX_COUNT)))


def _failures(scope: Scope) -> CappedCount:
    # Status by status: each has a part of the index of its own.
    failed = scope.within(jobs())
    return _sum(*(failed.filter(status=status).order_by("-pk") for status in sorted(WITH_ERRORS)))


def _unended(scope: Scope) -> CappedCount:
    """Return how many jobs run, have a ticket, wait for their turn, or wait for other jobs."""
    own: QuerySet[Job] = scope.within(jobs())
    backlog = store().waiting_in_order(own)
    return _sum(own.filter(status__in=sorted(IN_FLIGHT)), backlog, blocked() & own)


def _operations(scope: Scope) -> CappedCount:
    return _sum(scope.operations().filter(state__in=sorted(OPEN)))


def _batches(scope: Scope) -> CappedCount:
    return _sum(scope.batches().filter(completed_at__isnull=True))


def _workers(_scope: Scope) -> CappedCount:
    return CappedCount(count=len(live_workers()))


def _alarms(scope: Scope) -> CappedCount:
    return CappedCount(count=len(read_lately(scope.user).open))


_COUNTS: Final[Mapping[str, Callable[[Scope], CappedCount]]] = {
    "alert": _alarms,
    "failure": _failures,
    "job": _unended,
    "operation": _operations,
    "batch": _batches,
    "worker": _workers,
}


# The bar of the app's own pages, with the numbers that say where to look first. Every page of the app shows it.


APP: Final = "django_jobs"
#: The view that tells the numbers to an open page.
LIVE: Final = "django_jobs_monitor_navigation"
#: The models whose lists the bar leads to, in their order, and what the number of each counts, for people who do not
#: see where it stands. One whose list this site does not have is left out.
ENTRIES: Final[Mapping[str, Any]] = {
    "monitor": "",
    "alert": gettext_lazy("open"),
    "failure": gettext_lazy("jobs"),
    "job": gettext_lazy("that wait or run"),
    "operation": gettext_lazy("under way"),
    "batch": gettext_lazy("open or running"),
    "schedule": "",
    "jobtype": "",
    "organization": "",
    "worker": gettext_lazy("alive"),
}
#: Models whose pages belong to the entry of another one.
BELONGING: Final = {"executionlog": "job", "membership": "organization"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry as somebody sees it. ``current`` is the value of ``aria-current``: page, true, or empty."""

    model: str
    label: str
    url: str
    unit: str | Promise
    count: str | None
    is_alarm: bool
    current: str


def context_of(request: HttpRequest) -> dict[str, Any]:
    """Return what the bar's template needs."""
    return {"entries": entries_for(request), "live_url": reverse(f"{site_of(request).name}:{LIVE}")}


def entries_for(request: HttpRequest) -> list[Entry]:
    """Return the entries that this user may see, in their order, with numbers that are a few seconds old at most."""
    site, path = site_of(request), request.path
    models = {name: _model_of(name) for name in ENTRIES}
    seen = {name: _list_of(site, model) for name, model in models.items() if _is_seen(site, model, request)}
    counts = read_counts(scope_of(request), frozenset(seen.keys() & _COUNTS.keys()))
    here = _here(site, path)
    return [
        Entry(
            model=name,
            label=capfirst(str(models[name]._meta.verbose_name_plural)),
            url=url,
            unit=ENTRIES[name],
            count=None if (count := counts.get(name)) is None else str(count),
            is_alarm=name == "alert" and count is not None and count.count > 0,
            current="" if name != BELONGING.get(here, here) else "page" if path == url else "true",
        )
        for name, url in seen.items()
    ]


def live_counts(request: HttpRequest) -> dict[str, Any]:
    """Return the numbers of the entries that this user may see, by model, as an open page asks for them."""
    return {
        item.model: {"count": item.count, "is_alarm": item.is_alarm}
        for item in entries_for(request)
        if item.count is not None
    }


def site_of(request: HttpRequest) -> admin.AdminSite:
    """Return the admin site that a request came to."""
    match = request.resolver_match
    return site_named(match.namespace if match is not None else "")


def site_named(name: str) -> admin.AdminSite:
    """Return the admin site of this name, by default Django's own."""
    if name in {"", admin.site.name}:
        return admin.site
    return next((site for site in all_sites if site.name == name), admin.site)


def _model_of(name: str) -> type[Model]:
    """Return the model of an entry: organizations may be one of the host's."""
    return get_organization_model() if name == "organization" else apps.get_model(APP, name)


def _is_seen(site: admin.AdminSite, model: type[Model], request: HttpRequest) -> bool:
    return site.is_registered(model) and site.get_model_admin(model).has_view_permission(request)


def _list_of(site: admin.AdminSite, model: type[Model]) -> str:
    return reverse(f"{site.name}:{model._meta.app_label}_{model._meta.model_name}_changelist")


def _here(site: admin.AdminSite, path: str) -> str:
    """Return the model whose page this is; empty on a page of none."""
    prefix = f"{reverse(f'{site.name}:index')}{APP}/"
    return path.removeprefix(prefix).partition("/")[0] if path.startswith(prefix) else ""


# The time ranges that the monitor can look back over.


@dataclass(frozen=True, slots=True)
class Range:
    """A time range: ``count`` steps of one span, the last of which is not over.

    ``pattern`` is the format of a step's label. Of a range with ``fine_seconds`` the counts are known by steps of so
    many seconds, where few things happened. ``slow`` is the same time in longer steps, for what is too much to read by
    short ones: how long jobs took.
    """

    key: str
    label: str | Promise
    span: Span
    count: int
    pattern: str
    fine_seconds: int = 0
    slow: Range | None = None

    @property
    def steps(self) -> str:
        """Return in words how long a step is."""
        return str(STEPS[self.span])

    def begins(self, now: dt.datetime) -> dt.datetime:
        """Return when the first step began."""
        return start_of(self.span, now) - (self.count - 1) * dt.timedelta(seconds=int(self.span))

    @property
    def length(self) -> dt.timedelta:
        """Return how long the range is."""
        return self.count * dt.timedelta(seconds=int(self.span))

    def moments(self, now: dt.datetime) -> list[dt.datetime]:
        """Return when each step began."""
        first = self.begins(now)
        return [first + step * dt.timedelta(seconds=int(self.span)) for step in range(self.count)]

    def fine_moments(self, now: dt.datetime) -> list[dt.datetime]:
        """Return when each step of ``fine_seconds`` began, the last one of which is not over."""
        first = self.begins(now)
        count = int((now - first).total_seconds()) // self.fine_seconds + 1
        return [first + step * dt.timedelta(seconds=self.fine_seconds) for step in range(count)]

    @property
    def zone(self) -> str:
        """Return the time zone of the labels in words."""
        return gettext("Days in UTC.") if self.span == Span.DAY else zone_text()

    def label_of(self, moment: dt.datetime) -> str:
        """Return the label of the step that began at this moment."""
        # A step of a day begins at midnight UTC, which may be the day before in local time.
        local = moment if self.span == Span.DAY else localtime(moment)
        return date_format(local, self.pattern)

    @staticmethod
    def fine_label_of(moment: dt.datetime) -> str:
        """Return the label of the step of some seconds that began at this moment."""
        return date_format(localtime(moment), "H:i:s")


STEPS: Final = {
    Span.MINUTE: gettext_lazy("by the minute"),
    Span.HOUR: gettext_lazy("by the hour"),
    Span.DAY: gettext_lazy("by the day"),
}
_WEEK: Final = gettext_lazy("Last 7 days")
_ALL: Final = (
    Range("five", gettext_lazy("Last 5 minutes"), Span.MINUTE, 5, "H:i", fine_seconds=10),
    Range("hour", gettext_lazy("Last hour"), Span.MINUTE, 60, "H:i"),
    Range("day", gettext_lazy("Last 24 hours"), Span.HOUR, 24, "H:i"),
    # Hours of all types would be too many to read how long each took.
    Range("week", _WEEK, Span.HOUR, 168, "D H:i", slow=Range("week", _WEEK, Span.DAY, 8, "j M")),
    Range("month", gettext_lazy("Last 30 days"), Span.DAY, 30, "j M"),
)
RANGES: Final = {item.key: item for item in _ALL}
