"""Cancel, retry, delete and export jobs: choose them in the list or on a job's page, confirm, act, and report."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import CHANGE, DELETION
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from django_jobs.admin.base import OwnPages, View, is_system_admin, keys_of
from django_jobs.admin.bulk_actions import BULK_ACTIONS, CANCEL, DELETE, MAX_AT_ONCE, RETRY, BulkAction, tell
from django_jobs.admin.formatting import badge
from django_jobs.admin.job_export import MAX_ROWS, csv_of
from django_jobs.admin.job_list import LARGE
from django_jobs.models import Job

CONFIRMED = "confirmed"
MAX_SHOWN = 10


class JobActions(OwnPages):
    """The actions of the list and the buttons of a job's page.

    A permission here only offers an action. The engine asks the access policy for each job.
    """

    actions = ("cancel_jobs", "retry_jobs", "delete_jobs", "export_jobs")

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Return whether the user is offered to cancel, retry and export jobs: whoever sees them is."""
        return self.has_view_permission(request)

    def has_remove_permission(self, request: HttpRequest) -> bool:
        """Return whether the user is offered to delete jobs: system admins are, and staff with Django's permission for
        it.
        """
        user: Any = request.user
        return is_system_admin(request) or bool(
            self.has_view_permission(request) and user.has_perm("django_jobs.delete_job")
        )

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any], *args: Any, **kwargs: Any) -> Any:
        chosen = request.POST.getlist(ACTION_CHECKBOX_NAME)
        if len(keys_of(chosen)) != len(chosen):  # no form of ours
            self.message_user(request, "There is no such job.", messages.WARNING)
            return HttpResponseRedirect(request.get_full_path())
        return super().response_action(request, queryset, *args, **kwargs)

    @admin.action(description="Cancel selected jobs", permissions=["act"])
    def cancel_jobs(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Return the page that asks before it cancels, or cancel what was confirmed."""
        return self._act_on_list(request, queryset, CANCEL)

    @admin.action(description="Retry selected jobs", permissions=["act"])
    def retry_jobs(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Return the page that asks before it retries, or retry what was confirmed."""
        return self._act_on_list(request, queryset, RETRY)

    @admin.action(description="Delete selected ended jobs", permissions=["remove"])
    def delete_jobs(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Return the page that asks before it deletes, or delete what was confirmed."""
        return self._act_on_list(request, queryset, DELETE)

    @admin.action(description=f"Export selected jobs as CSV (at most {MAX_ROWS:,})", permissions=["act"])
    def export_jobs(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """Return the chosen jobs as a CSV file."""
        return csv_of(request, queryset)

    def act_views(self) -> dict[str, tuple[str, View]]:
        """Return the views of the buttons on a job's page, by name."""
        return {
            verb: (f"<path:object_id>/{verb}/", partial(self._act_on_one, verb=verb)) for verb in ("cancel", "retry")
        }

    def _act_on_one(self, request: HttpRequest, object_id: str, *, verb: str) -> HttpResponse:
        if not self.has_act_permission(request):
            raise PermissionDenied
        job = self.find(request, object_id)
        if job is None:
            return self.gone(request, object_id)
        if request.method != "POST":
            return self._confirm(request, BULK_ACTIONS[verb], [job], back_url=self.url_of("change", job.pk))
        self._perform(request, BULK_ACTIONS[verb], [job.pk])
        return self.go_to(job.pk)

    def _act_on_list(self, request: HttpRequest, queryset: QuerySet[Any], act: BulkAction) -> HttpResponse:
        if request.POST.get(CONFIRMED):
            # The jobs that were confirmed may no longer match the list's filters.
            self._perform(request, act, keys_of(request.POST.getlist(ACTION_CHECKBOX_NAME)))
            return HttpResponseRedirect(request.get_full_path())
        jobs = list(queryset.defer(*LARGE)[: MAX_AT_ONCE + 1])
        return self._confirm(
            request,
            act,
            jobs[:MAX_AT_ONCE],
            is_cut=len(jobs) > MAX_AT_ONCE,
            action=f"{act.verb}_jobs",
            back_url=request.get_full_path(),
        )

    def _confirm(
        self, request: HttpRequest, act: BulkAction, jobs: list[Job], *, is_cut: bool = False, **context: Any
    ) -> HttpResponse:
        """Return the page that says what would happen."""
        counted = Counter(job.status for job in jobs)
        many = f"the newest {len(jobs):,} of these jobs" if is_cut else f"{len(jobs):,} jobs"
        what = jobs[0].name if len(jobs) == 1 else many
        return self.page(
            request,
            "job/confirm.html",
            f"{act.verb.capitalize()} {what}?",
            f"{act.verb.capitalize()} {what}",
            act=act,
            jobs=jobs,
            named=[
                (job.name, self.url_of("change", job.pk), job.job_type_id, badge(job.status))
                for job in jobs[:MAX_SHOWN]
            ],
            unnamed=max(0, len(jobs) - MAX_SHOWN),
            fitting=sum(count for status, count in counted.items() if status in act.fits),
            others=[(badge(status), count) for status, count in sorted(counted.items()) if status not in act.fits],
            most=MAX_AT_ONCE,
            checkbox=ACTION_CHECKBOX_NAME,
            confirmed=CONFIRMED,
            is_cut=is_cut,
            **context,
        )

    def _perform(self, request: HttpRequest, act: BulkAction, pks: list[int]) -> None:
        jobs = list(self.get_queryset(request).filter(pk__in=pks[:MAX_AT_ONCE]).defer(*LARGE))
        report = act.perform(jobs, request.user)
        flag = DELETION if act is DELETE else CHANGE
        self.remember(request, report.done, f"{act.past.capitalize()}.", flag)
        self.remember(request, report.asked, "Asked to stop.", flag)
        for level, text in tell(act, report, missing=len(set(pks[:MAX_AT_ONCE])) - len(jobs)):
            self.message_user(request, text, level)
        if not pks:
            self.message_user(request, "No job was chosen.", messages.WARNING)
