"""The pages that somebody may open: a link that leads to a refusal, or to nothing, is none."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db.models import Model
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from django_jobs.admin.base import is_system_admin
from django_jobs.admin.formatting import line, linked
from django_jobs.admin.monitor_links import Links
from django_jobs.admin.navigation import site_named
from django_jobs.admin.seen_organizations import tenant
from django_jobs.engine.access import may_view
from django_jobs.engine.store.organization_ids import is_gone
from django_jobs.models import Job, JobType, Operation, Schedule, Worker, get_organization_model

#: Characters of a name.
NAME = 60


class OpenPages:
    """Addresses of pages in the admin site of this name, for the user of a request.

    Each is empty where the site has no such page, where the user may not open it, or where it would find nothing.
    """

    def __init__(self, request: HttpRequest, site: str) -> None:
        self.links = Links(site)
        self._request = request
        self._site = site_named(site)
        self._opened: dict[type[Model], bool] = {}

    @property
    def user(self) -> Any:
        """Return whose pages these are."""
        return self._request.user

    @property
    def is_for_system_admin(self) -> bool:
        """Return whether the user manages all jobs."""
        return is_system_admin(self._request)

    def job_type(self, kind: JobType | None) -> str:
        """Return the address of a type's page; None stands for a type that is gone."""
        return self.links.job_type(kind.pk) if kind is not None and self.opens(JobType) else ""

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
        return {pk: self.links.organization(pk) for pk in shown}

    def organization(self, pk: Any) -> str:
        """Return the address of the page of an organization that is there."""
        return self.organizations([pk]).get(pk, "")

    def operations(self, pks: Collection[int]) -> dict[int, str]:
        """Return the addresses of the pages of these operations, by primary key, read in one statement."""
        if not pks or not self.opens(Operation):
            return {}
        rows = self._site.get_model_admin(Operation).get_queryset(self._request).filter(pk__in=set(pks))
        return {pk: self.links.operation(pk) for pk in rows.order_by().values_list("pk", flat=True)}

    def schedules(self, pks: Collection[int]) -> dict[int, str]:
        """Return the addresses of the pages of these schedules, by primary key: of those that the user sees."""
        if not pks or not self.opens(Schedule):
            return {}
        rows = self._site.get_model_admin(Schedule).get_queryset(self._request).filter(pk__in=set(pks))
        return {pk: self.links.schedule(pk) for pk in rows.order_by().values_list("pk", flat=True)}

    def workers(self) -> str:
        """Return the address of the page of workers."""
        return self.links.workers() if self.opens(Worker) else ""

    def job(self, job: Job) -> str:
        """Return the address of the page of a job of an organization whose jobs the user sees.

        A host's policy may hide single jobs of it.
        """
        may_open = self.opens(Job) and may_view(self.user, job)
        return self.links.page("django_jobs_job_change", job.pk) if may_open else ""

    def of_jobs(self, address: str) -> str:
        """Return this address of a page about jobs, for who may open those."""
        return address if self.opens(Job) else ""

    def opens(self, model: type[Model]) -> bool:
        """Return whether the user may open pages of this model."""
        if model not in self._opened:
            has_pages = self._site.is_registered(model)
            self._opened[model] = has_pages and self._site.get_model_admin(model).has_view_or_change_permission(
                self._request
            )
        return self._opened[model]


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
        ""
        if is_gone(row)
        else pages.organization(row.organization_id) or pages.links.jobs_of_organization(row.organization_id)
    )
    return linked(url, tenant(row))


def worker_jobs(links: Links, name: str, limit: int = NAME) -> SafeString | str:
    """Return a worker's name as a link to the jobs that it had."""
    return linked(links.jobs_of_worker(name) if name else "", line(name, limit))


def owner_jobs(links: Links, name: str, limit: int = NAME) -> SafeString | str:
    """Return a user's name as a link to the jobs that they own."""
    return linked(links.jobs_of_owner(name) if name else "", line(name, limit))
