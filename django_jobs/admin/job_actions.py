"""Cancel, retry, delete and export jobs: choose them in the list or on a job's page, confirm, act, and report."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any, Final

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import CHANGE, DELETION
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.functional import lazy
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobs.admin.base import View, is_system_admin, keys_of
from django_jobs.admin.bulk_actions import (
    BULK_ACTIONS,
    CANCEL,
    DELETE,
    MAX_AT_ONCE,
    RETRY,
    RUN_NOW,
    BulkAction,
    set_priority_to,
    tell,
)
from django_jobs.admin.bulk_words import fitting_words, question
from django_jobs.admin.formatting import badge
from django_jobs.admin.job_export import MAX_ROWS, csv_of
from django_jobs.admin.job_operations import JobOperations
from django_jobs.admin.job_paging import LARGE
from django_jobs.admin.numbers import format_number
from django_jobs.engine.control.acts import Action
from django_jobs.models import Job
from django_jobs.statuses import Priority

CONFIRMED = "confirmed"
MAX_SHOWN = 10
EXPORT: Final[Any] = format_lazy(
    gettext_lazy("Export selected jobs as CSV (at most {count})"), count=lazy(format_number, str)(MAX_ROWS)
)


class JobActions(JobOperations):
    """The actions of the list and the buttons of a job's page.

    A permission here only offers an action. The engine asks the access policy for each job.
    """

    actions = ("cancel_jobs", "retry_jobs", "set_priority_jobs", "run_now_jobs", "delete_jobs", "export_jobs")

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

    def offers(self, request: HttpRequest, action: str) -> bool:
        """Return whether the user is offered to do this to all jobs that match."""
        return self.has_remove_permission(request) if action == Action.DELETE else self.has_act_permission(request)

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any], *args: Any, **kwargs: Any) -> Any:
        chosen = request.POST.getlist(ACTION_CHECKBOX_NAME)
        if len(keys_of(chosen)) != len(chosen):  # no form of ours
            self.message_user(request, _("There is no such job."), messages.WARNING, extra_tags="not_found")
            return HttpResponseRedirect(request.get_full_path())
        return super().response_action(request, queryset, *args, **kwargs)

    @admin.action(description=gettext_lazy("Cancel selected jobs"), permissions=["act"])
    def cancel_jobs(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Return the page that asks before it cancels, or cancel what was confirmed."""
        return self._act_on_list(request, queryset, CANCEL)

    @admin.action(description=gettext_lazy("Retry selected jobs"), permissions=["act"])
    def retry_jobs(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Return the page that asks before it retries, or retry what was confirmed."""
        return self._act_on_list(request, queryset, RETRY)

    @admin.action(description=gettext_lazy("Change the priority of selected jobs"), permissions=["act"])
    def set_priority_jobs(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Return the page that asks for the priority, or change it as was confirmed."""
        asked = request.POST.get("value", "")
        known = asked in {str(value) for value in Priority.values}
        return self._act_on_list(request, queryset, set_priority_to(int(asked) if known else int(Priority.HIGH)))

    @admin.action(description=gettext_lazy("Run selected jobs now"), permissions=["act"])
    def run_now_jobs(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Return the page that asks before it makes jobs due, or do what was confirmed."""
        return self._act_on_list(request, queryset, RUN_NOW)

    @admin.action(description=gettext_lazy("Delete selected ended jobs"), permissions=["remove"])
    def delete_jobs(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Return the page that asks before it deletes, or delete what was confirmed."""
        return self._act_on_list(request, queryset, DELETE)

    @admin.action(description=EXPORT, permissions=["act"])
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
        if len(jobs) > MAX_AT_ONCE:  # all that match were chosen: too many for one request
            query = request.GET.urlencode()
            return HttpResponseRedirect(f"{self.url_of(f'all_{act.verb}')}{'?' if query else ''}{query}")
        return self._confirm(request, act, jobs, action=f"{act.verb}_jobs", back_url=request.get_full_path())

    def _confirm(self, request: HttpRequest, act: BulkAction, jobs: list[Job], **context: Any) -> HttpResponse:
        """Return the page that says what would happen."""
        counted = Counter(job.status for job in jobs)
        fitting = sum(count for status, count in counted.items() if status in act.fits)
        others = _others(counted, act)
        title = question(act.verb, jobs)
        return self.page(
            request,
            "job/confirm.html",
            title,
            title,
            act=act,
            jobs=jobs,
            named=[
                (job.name, self.url_of("change", job.pk), job.job_type_id, badge(job.status))
                for job in jobs[:MAX_SHOWN]
            ],
            unnamed=max(0, len(jobs) - MAX_SHOWN),
            fitting=fitting,
            others=others,
            left_out=fitting_words(act.verb, fitting, len(jobs), others) if others else "",
            checkbox=ACTION_CHECKBOX_NAME,
            confirmed=CONFIRMED,
            priorities=Priority if act.verb == Action.SET_PRIORITY else (),
            **context,
        )

    def _perform(self, request: HttpRequest, act: BulkAction, pks: list[int]) -> None:
        jobs = list(self.get_queryset(request).filter(pk__in=pks[:MAX_AT_ONCE]).defer(*LARGE))
        report = act.perform(jobs, request.user)
        flag = DELETION if act is DELETE else CHANGE
        self.remember(request, report.done, act.done, flag)
        self.remember(request, report.asked, "Asked to stop.", flag)
        for text, level, code in tell(act, report, missing=len(set(pks[:MAX_AT_ONCE])) - len(jobs)):
            self.message_user(request, text, level, extra_tags=code)
        if not pks:
            self.message_user(request, _("No job was chosen."), messages.WARNING, extra_tags="nothing_chosen")


def _others(counted: Counter[str], act: BulkAction) -> SafeString:
    """Return how many jobs have each status in which the action cannot succeed."""
    others = [
        (format_number(count), badge(status)) for status, count in sorted(counted.items()) if status not in act.fits
    ]
    return format_html_join(", ", "{} {}", others)
