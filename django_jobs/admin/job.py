"""Jobs: the list, the page of one, and what people do to them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest

from django_jobs.admin.base import NobodyWrites, View, is_system_admin
from django_jobs.admin.formatting import ALL, badge
from django_jobs.admin.job_actions import JobActions
from django_jobs.admin.job_batch import BatchFilter
from django_jobs.admin.job_columns import JobColumns, note, page_state
from django_jobs.admin.job_facts import JobFacts
from django_jobs.admin.job_filters import FILTERS
from django_jobs.admin.job_history import read_history
from django_jobs.admin.job_list import JobList, search
from django_jobs.admin.job_live import JobLive
from django_jobs.admin.job_output import JobOutput, may_read_results
from django_jobs.admin.job_relatives import read_relatives
from django_jobs.admin.job_rerun import RunAgain
from django_jobs.admin.job_work import read_work
from django_jobs.engine.access import get_policy, may_view
from django_jobs.engine.job_types.masking import hidden_from
from django_jobs.engine.store import database
from django_jobs.models import Job
from django_jobs.models.job import parse_job_id
from django_jobs.statuses import FINAL, RETRYABLE_BY_HAND, WAITING, Status


@admin.register(Job)
class JobAdmin(JobActions, RunAgain, JobLive, JobOutput, JobFacts, JobColumns, NobodyWrites):
    """Puts together what the ``job_*`` files give: columns, filters, facts, actions, live answers and the download."""

    list_filter = (BatchFilter, *FILTERS)
    # Django shows the search box only if a field is named here. ``search`` decides what is searched.
    search_fields = ("pk",)
    search_help_text = "A job's, batch's or organization's id or an owner's name, each exactly; or words of an error."
    change_list_template = "admin/django_jobs/job/change_list.html"
    change_form_template = "admin/django_jobs/job/change_form.html"

    def own_views(self) -> dict[str, tuple[str, View]]:
        """Return the views that the parts add."""
        return {**self.live_views(), **self.output_views(), **self.act_views(), **self.rerun_views()}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return Job.primary.visible_to(request.user).order_by("-pk")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return JobList

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        return search(queryset, search_term, request.user), False

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return the job with this primary key or this job id, if the user may see it."""
        parsed = parse_job_id(object_id)
        job = super().get_object(request, str(parsed[0]) if parsed else object_id, from_field)
        if job is None or (parsed and job.created_at.year != parsed[1]) or not may_view(request.user, job):
            return None
        job.shows_all = ALL in request.GET
        job.hidden_names = hidden_from(request.user)
        return job

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        job = context["original"]
        context |= self._page_of(request, job) if job is not None else {}
        return super().render_change_form(request, context, *args, **kwargs)

    def _page_of(self, request: HttpRequest, job: Any) -> dict[str, Any]:
        """Return what stands on a job's page around its fields."""
        whole = job.shows_all
        history = read_history(job, database.now(), whole=whole, tracebacks=is_system_admin(request))
        work = read_work(job, job.hidden_names, whole=whole, results=may_read_results(request, job))
        return {
            "subtitle": None,
            "title": job.name,
            "badge": badge(job.status),
            "note": note(job),
            "state": page_state(job, work.state),
            # A dead letter may be retried while its page is open.
            "is_final": job.status in FINAL,
            "history": history,
            "work": work,
            "relatives": [found for found in read_relatives(job, whole=whole) if found.jobs],
            "shows_all": whole,
            "shows_tracebacks": is_system_admin(request),
            "buttons": self._buttons(request, job),
        }

    def _buttons(self, request: HttpRequest, job: Job) -> list[tuple[str, str]]:
        """Return what this user may do to this job now: the words and the address of each button."""
        policy = get_policy()
        found = []
        stoppable = job.status in WAITING or (job.status == Status.RUNNING and job.cancel_requested_at is None)
        if stoppable and policy.can_cancel(request.user, job):
            found.append(("Cancel", self.url_of("cancel", job.pk)))
        if job.status in RETRYABLE_BY_HAND and policy.can_retry(request.user, job):
            found.append(("Retry", self.url_of("retry", job.pk)))
        if self.may_run_again(request, job):
            found.append(("Run again", self.url_of("run_again", job.pk)))
        return found
