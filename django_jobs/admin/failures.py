"""What failed, in groups of like errors: the list of groups and the page of one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils.translation import gettext as _

from django_jobs.admin import failure_operations
from django_jobs.admin.base import is_system_admin
from django_jobs.admin.capped_counts import CappedCount
from django_jobs.admin.failure_actions import FailureActions
from django_jobs.admin.failure_filters import STATUSES, Chosen, chosen_by, words
from django_jobs.admin.failure_news import news_of_group, news_of_list
from django_jobs.admin.failure_rows import RowMaker
from django_jobs.admin.formatting import ALL, badge, block, linked, moment
from django_jobs.admin.monitor_range import RANGES
from django_jobs.admin.open_pages import OpenPages
from django_jobs.admin.operation_notices import Row, rows_of
from django_jobs.admin.seen_organizations import tenant
from django_jobs.engine.insight.failures import BOUND, Failures, Group, last_traceback, read_failures
from django_jobs.engine.store import database, organization_ids
from django_jobs.models import ExecutionLog, Failure, Job, Operation

PER_PAGE: Final = 25
MAX_LISTED: Final = 20
MAX_TENANTS: Final = 50


@admin.register(Failure)
class FailureAdmin(FailureActions):
    """The list of groups, the page of one group with its newest error, and what their buttons do."""

    def get_urls(self) -> list[URLPattern]:
        views = [("", self.changelist_view, "changelist"), ("group/", self._group, "group"), ("act/", self._act, "act")]
        return [
            path(route, self.admin_site.admin_view(view), name=f"django_jobs_failure_{name}")
            for route, view, name in views
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        chosen = chosen_by(request.user, request.GET.dict())
        now = database.now()
        found = _read(request, chosen, now)
        page = Paginator(found.keys, PER_PAGE).get_page(request.GET.get("p"))
        pages = self._pages(request)
        rows = RowMaker(request, pages, chosen, found, found.groups(page.object_list)).rows()
        return self.page(
            request,
            "failures/list.html",
            _("Failures"),
            _("Failures"),
            rows=rows,
            news=news_of_list(found, rows),
            page=page,
            page_query=urlencode(chosen.query()),
            count=CappedCount(count=found.count, is_cut=found.is_cut),
            is_cut=found.is_cut,
            bound=BOUND,
            narrowed=words(chosen),
            choices=self._choices(chosen),
            list_url=self._links.failed_jobs(**chosen.list_query()),
            retry_url=self._links.retry_failed(**chosen.list_query()),
            log_url=self._links.failed_attempts(RANGES["day"], chosen.job_type) if pages.opens(ExecutionLog) else "",
            **self._shared(request, chosen, now),
            operations=self._operations(request, failure_operations.failures_under_way(request.user, chosen.job_type)),
        )

    def _choices(self, chosen: Chosen) -> list[tuple[str, str, bool]]:
        """Return the choices of the status: label, address, whether it is chosen."""
        return [
            (str(label), f"?{urlencode(chosen.query(status=key))}", key == chosen.status)
            for key, (label, _statuses) in STATUSES.items()
        ]

    def _pages(self, request: HttpRequest) -> OpenPages:
        return OpenPages(request, self.admin_site.name)

    def _shared(self, request: HttpRequest, chosen: Chosen, now: Any) -> dict[str, Any]:
        """Return what both pages say in the same way; the buttons of both act on what is chosen alone."""
        return {
            "chosen": chosen,
            "as_of": moment(now),
            "act_url": self.url_of("act"),
            "here": request.get_full_path(),
            "is_system_admin": is_system_admin(request),
            "max_rate": failure_operations.MAX_RATE,
        }

    def _operations(self, request: HttpRequest, found: Iterable[Operation]) -> list[Row]:
        return rows_of(self._links, found, request.user, failure_operations.title_of)

    def _group(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        chosen = chosen_by(request.user, request.GET.dict())
        now = database.now()
        found = None
        if chosen.job_type and chosen.fingerprint is not None and chosen.is_known:
            found = _read(request, chosen, now)
        if found is None or not found.keys:
            text = _("This group is empty by now: its jobs were retried, canceled or deleted.")
            self.message_user(request, text, messages.WARNING, extra_tags="empty_group")
            return HttpResponseRedirect(self.url_of("changelist"))
        return self._show(request, chosen, found, found.groups()[0], now)

    def _show(self, request: HttpRequest, chosen: Chosen, found: Failures, group: Group, now: Any) -> HttpResponse:
        (row,) = RowMaker(request, self._pages(request), chosen, found, [group], MAX_TENANTS).rows()
        whole, all_url = ALL in request.GET, f"?{urlencode(chosen.query() | {ALL: '1'})}"
        # A traceback is not even read for people who may not see it.
        traceback = last_traceback(row.newest) if is_system_admin(request) else ""
        done = failure_operations.of_group(request.user, group.job_type, group.error_fingerprint)
        return self.page(
            request,
            "failures/group.html",
            _("Failures of %(type)s") % {"type": group.job_type},
            group.job_type,
            parent=_("Failures"),
            row=row,
            news=news_of_group(row),
            is_cut=found.is_cut,
            error=block(row.newest.error_message, whole=whole, all_url=all_url),
            traceback=block(traceback, whole=whole, all_url=all_url) if traceback else "",
            narrowed=words(dataclasses.replace(chosen, job_type="")),
            whole_url=self._links.failure_group(group.job_type, group.error_fingerprint),
            jobs=self._newest(request, chosen),
            **self._shared(request, chosen, now),
            operations=self._operations(request, done),
        )

    def _newest(self, request: HttpRequest, chosen: Chosen) -> list[tuple[Any, Any, Any, Any]]:
        shown = ("created_at", "completed_at", "started_at", "status", "organization", "organization_name")
        newest = list(chosen.filters.rows(request.user).order_by("-pk").only(*shown)[:MAX_LISTED])
        organization_ids.mark(newest)
        pages = self._pages(request)
        return [
            (
                linked(pages.job(job), job.name),
                badge(job.status),
                _tenant(job, chosen),
                moment(job.completed_at or job.started_at),
            )
            for job in newest
        ]


def _tenant(job: Job, chosen: Chosen) -> Any:
    """Return the organization of a job, with a link to its part of what is chosen."""
    url = "" if organization_ids.is_gone(job) else f"?{urlencode(chosen.query(organization=str(job.organization_id)))}"
    return linked(url, tenant(job))


def _read(request: HttpRequest, chosen: Chosen, now: Any) -> Failures:
    if not chosen.is_known:
        return Failures(rows=[], is_cut=False, now=now, keys=[])
    return read_failures(request.user, now, chosen.filters)
