"""The bar of the app's own pages, with the numbers that say where to look first. Every page of the app shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.apps import apps
from django.contrib import admin
from django.contrib.admin.sites import all_sites
from django.db.models import Model
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from django_jobs.admin.capped_counts import CappedCount
from django_jobs.admin.navigation_counts import ALARMS, BATCHES, FAILURES, JOBS, OPERATIONS, WORKERS, read_counts
from django_jobs.models import get_organization_model

APP: Final = "django_jobs"
#: The view that tells the numbers to an open page.
LIVE: Final = "django_jobs_monitor_navigation"


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryDeclaration:
    """One entry as it is declared: the model whose list it leads to, and other models whose pages belong to it.

    ``counts`` names its number, if it has one, and ``unit`` says what is counted to who cannot see where it stands.
    """

    key: str
    label: str | Promise
    model: str
    others: tuple[str, ...] = ()
    counts: str = ""
    unit: str | Promise = ""


#: The entries in their order. One whose page this site does not have is left out.
PLACES: Final = (
    EntryDeclaration(key="monitor", label=_("Monitor"), model="monitor"),
    EntryDeclaration(key="alarms", label=_("Alarms"), model="alert", counts=ALARMS, unit=_("open")),
    EntryDeclaration(key="failures", label=_("Failures"), model="failure", counts=FAILURES, unit=_("jobs")),
    EntryDeclaration(
        key="jobs", label=_("Jobs"), model="job", others=("executionlog",), counts=JOBS, unit=_("that wait or run")
    ),
    EntryDeclaration(
        key="operations", label=_("Operations"), model="operation", counts=OPERATIONS, unit=_("under way")
    ),
    EntryDeclaration(key="batches", label=_("Batches"), model="batch", counts=BATCHES, unit=_("open or running")),
    EntryDeclaration(key="schedules", label=_("Schedules"), model="schedule"),
    EntryDeclaration(key="types", label=_("Types"), model="jobtype"),
    EntryDeclaration(key="organizations", label=_("Organizations"), model="organization", others=("membership",)),
    EntryDeclaration(key="workers", label=_("Workers"), model="worker", counts=WORKERS, unit=_("alive")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NavigationEntry:
    """One entry as somebody sees it. ``current`` is the value of ``aria-current``: page, true, or empty."""

    key: str
    label: str | Promise
    url: str
    unit: str | Promise
    count: str | None
    is_alarm: bool
    current: str


def context_of(request: HttpRequest) -> dict[str, Any]:
    """Return what the bar's template needs."""
    return {"entries": entries_for(request), "live_url": _address(site_of(request), LIVE)}


def entries_for(request: HttpRequest) -> list[NavigationEntry]:
    """Return the entries that this user may see, in their order, with numbers that are a few seconds old at most."""
    site = site_of(request)
    seen = [(place, url) for place in PLACES if (url := _list_of(site, place, request))]
    counts = read_counts(request.user, frozenset(place.counts for place, _ in seen if place.counts))
    here = _here(site, request.path)
    return [_entry(place, url, counts.get(place.counts), here, request.path) for place, url in seen]


def live_counts(request: HttpRequest) -> dict[str, Any]:
    """Return the numbers of the entries that this user may see, by entry, as an open page asks for them."""
    return {
        item.key: {"count": item.count, "is_alarm": item.is_alarm}
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


def _entry(place: EntryDeclaration, url: str, count: CappedCount | None, here: str, path: str) -> NavigationEntry:
    is_here = here in {place.model, *place.others}
    return NavigationEntry(
        key=place.key,
        label=place.label,
        url=url,
        unit=place.unit,
        count=None if count is None else str(count),
        is_alarm=place.counts == ALARMS and count is not None and count.count > 0,
        current="" if not is_here else "page" if path == url else "true",
    )


def _list_of(site: admin.AdminSite, place: EntryDeclaration, request: HttpRequest) -> str:
    """Return the address of the entry's list; empty where this site has none, or where it is not for this user."""
    model = _model_of(place)
    if not site.is_registered(model):
        return ""
    may_see = site.get_model_admin(model).has_view_permission(request)
    return _address(site, f"{model._meta.app_label}_{model._meta.model_name}_changelist") if may_see else ""


def _model_of(place: EntryDeclaration) -> type[Model]:
    """Return the model whose list it is. Organizations may be a model of the host's."""
    return get_organization_model() if place.model == "organization" else apps.get_model(APP, place.model)


def _address(site: admin.AdminSite, name: str) -> str:
    try:
        return reverse(f"{site.name}:{name}")
    except NoReverseMatch:
        return ""


def _here(site: admin.AdminSite, path: str) -> str:
    """Return the model whose page this is; empty on a page of none."""
    prefix = f"{_address(site, 'index')}{APP}/"
    return path.removeprefix(prefix).partition("/")[0] if path.startswith(prefix) else ""
