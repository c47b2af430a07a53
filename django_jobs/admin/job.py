"""Jobs: the list, the page of one, and what people do to them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from django_jobs.admin import addressed_filters
from django_jobs.admin.base import NobodyWrites, View
from django_jobs.admin.formatting import ALL
from django_jobs.admin.job_actions import JobActions
from django_jobs.admin.job_batch import BatchFilter
from django_jobs.admin.job_columns import JobColumns
from django_jobs.admin.job_facts import JobFacts
from django_jobs.admin.job_filters import FILTERS
from django_jobs.admin.job_list import JobList, search
from django_jobs.admin.job_live import JobLive
from django_jobs.admin.job_output import JobOutput
from django_jobs.admin.job_page import JobPage
from django_jobs.admin.job_paging import JobPaginator
from django_jobs.admin.job_rerun import RunAgain
from django_jobs.admin.open_pages import OpenPages
from django_jobs.admin.operation_filter import OperationFilter
from django_jobs.admin.saved_filters import SavedFilters
from django_jobs.admin.seen_organizations import jobs_seen_by, seen_by
from django_jobs.engine.access import get_policy, may_view
from django_jobs.engine.job_types.masking import hidden_from
from django_jobs.models import Job
from django_jobs.models.job import parse_job_id
from django_jobs.statuses import RETRYABLE_BY_HAND, WAITING, Status


@admin.register(Job)
class JobAdmin(SavedFilters, JobActions, RunAgain, JobLive, JobOutput, JobPage, JobFacts, JobColumns, NobodyWrites):
    """Puts together what the ``job_*`` files give: columns, filters, facts, actions, live answers and the download."""

    paginator = JobPaginator
    list_filter = (BatchFilter, OperationFilter, *addressed_filters.FILTERS, *FILTERS)
    # Django shows the search box only if a field is named here. ``search`` decides what is searched.
    search_fields = ("pk",)
    search_help_text = _(
        "A job, a type, an organization, a user, a batch, a worker, a fingerprint or words of an error; "
        "customer_id:17 for a parameter (of the newest 10,000 jobs)."
    )
    change_list_template = "admin/django_jobs/job/change_list.html"
    change_form_template = "admin/django_jobs/job/change_form.html"

    def own_views(self) -> dict[str, tuple[str, View]]:
        """Return the views that the parts add."""
        own = {**self.live_views(), **self.log_views(), **self.output_views(), **self.operation_views()}
        return {**own, **self.act_views(), **self.rerun_views(), **self.saved_views()}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return jobs_seen_by(request).order_by("-pk")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return JobList

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        return search(queryset, search_term, seen_by(request)), False

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return the job with this primary key or this job id, if the user may see it."""
        parsed = parse_job_id(object_id)
        job = super().get_object(request, str(parsed[0]) if parsed else object_id, from_field)
        if job is None or (parsed and job.created_at.year != parsed[1]) or not may_view(request.user, job):
            return None
        job.shows_all = ALL in request.GET
        job.hidden_names = hidden_from(request.user)
        job.pages = OpenPages(request, self.admin_site.name)
        return job

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        job = context["original"]
        context |= self.page_of(request, job, self._buttons(request, job)) if job is not None else {}
        return super().render_change_form(request, context, *args, **kwargs)

    def _buttons(self, request: HttpRequest, job: Job) -> list[tuple[Any, str]]:
        """Return what this user may do to this job now: the words and the address of each button."""
        policy = get_policy()
        found = []
        stoppable = job.status in WAITING or (job.status == Status.RUNNING and job.cancel_requested_at is None)
        if stoppable and policy.can_cancel(request.user, job):
            found.append((_("Cancel"), self.url_of("cancel", job.pk)))
        if job.status in RETRYABLE_BY_HAND and policy.can_retry(request.user, job):
            found.append((_("Retry"), self.url_of("retry", job.pk)))
        if self.may_run_again(request, job):
            found.append((_("Run again"), self.url_of("run_again", job.pk)))
        return found
