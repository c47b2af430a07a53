"""The read-only facts on a job's page: what ``values.JobStatus`` tells of it, and what else its row has.

A field of JobStatus that no line here tells stands in a group of its own, so that none is forgotten.
"""

from __future__ import annotations

import dataclasses
from pathlib import PurePosixPath
from typing import Any, Final

from django.contrib.admin.utils import flatten_fieldsets
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobs.admin.base import BaseAdmin, is_system_admin
from django_jobs.admin.durations import format_duration
from django_jobs.admin.facts import fact, field, other, says_nothing, without
from django_jobs.admin.formatting import as_json, line, linked, moment
from django_jobs.admin.job_batch import batch_line, followed_batch, followed_line, is_submitter_hidden, submitter_line
from django_jobs.admin.job_columns import progress_bar, type_of
from django_jobs.admin.job_output import may_read_results
from django_jobs.admin.job_schedule import schedule_line, schedule_of
from django_jobs.admin.job_waits import waits_in_words
from django_jobs.admin.monitor_links import Links
from django_jobs.admin.open_pages import organization_line, owner_jobs, worker_jobs
from django_jobs.engine.execution import context
from django_jobs.engine.insight.status import describe
from django_jobs.engine.job_types.masking import Names, sensitive_names
from django_jobs.engine.observers import without_carried
from django_jobs.models import Job
from django_jobs.statuses import Priority, RunAfter, Status
from django_jobs.values import JobStatus

#: Fields of JobStatus that the page tells in its title, beside it, above the facts and in the lists below them.
ELSEWHERE: Final = frozenset({"job_id", "status", "depends_on", "error_message", "error_type"})


class JobFacts(BaseAdmin):
    """The fields of a job's page.

    The page notes on the job what it was asked to show, as ``shows_all``, what its reader may not see, as
    ``hidden_names``, and which pages the reader may open, as ``pages``.
    """

    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("type_name", "tenant", "owned_by"),
                    ("urgency", "attempts_left"),
                    "waits_because",
                    "starts_after",
                    "of_batch",
                    "submitter",
                    "followed_batch",
                    "scheduled_by",
                    "acted_on_by",
                    "progress_now",
                )
            },
        ),
        (gettext_lazy("Work"), {"fields": ("parameters", "outcome", "output", "correlation")}),
        (
            gettext_lazy("Times"),
            {
                "fields": (
                    ("created", "due", "expires", "queued", "started", "ended_at"),
                    ("waited", "ran", "time_limit", "next_retry"),
                )
            },
        ),
        (gettext_lazy("Cancellation"), {"fields": (("cancel_requested", "canceled", "canceler"),)}),
        (gettext_lazy("Worker"), {"fields": (("latest_attempt", "worker", "lease"),), "classes": ("collapse",)}),
    )

    created = field(gettext_lazy("created"), "created_at", moment)
    due = field(gettext_lazy("due at"), "run_at", moment)
    expires = field(gettext_lazy("expires at"), "expires_at", moment)
    queued = field(gettext_lazy("queued"), "queued_at", moment)
    started = field(gettext_lazy("started"), "started_at", moment)
    ended_at = field(gettext_lazy("ended"), "completed_at", moment)
    next_retry = field(gettext_lazy("next retry"), "next_retry_at", moment)
    time_limit = field(gettext_lazy("time limit"), "timeout_seconds", format_duration)
    canceled = field(gettext_lazy("canceled"), "canceled_at", moment)
    canceler = field(gettext_lazy("by"), "canceled_by", line)
    latest_attempt = field(gettext_lazy("attempt"), "attempt", str)
    lease = field(gettext_lazy("lease until"), "lease_expires_at", moment)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Leave out the lines that are empty for this job, and the results of a suspended organization's jobs."""
        if obj is None:
            return self.fieldsets
        if not hasattr(obj, "told"):
            obj.told, obj.follows, obj.schedule = describe(obj), followed_batch(obj), schedule_of(request.user, obj)
        groups: Any = [*self.fieldsets, *_others(request, obj)]
        hidden = {
            name for name in flatten_fieldsets(groups) if says_nothing(getattr(self, str(name), None), obj.told, obj)
        }
        hidden |= {name for name, of in (("followed_batch", obj.follows), ("scheduled_by", obj.schedule)) if not of}
        hidden |= {"submitter"} if is_submitter_hidden(request.user, obj) else set()
        hidden |= set() if obj.run_after == RunAfter.ENDED else {"starts_after"}
        hidden |= set() if obj.progress or obj.status == Status.RUNNING else {"progress_now"}
        hidden |= set() if is_system_admin(request) else {"worker"}
        hidden |= set() if may_read_results(request, obj) else {"outcome", "output"}
        return [
            (title, {**options, "fields": shown})
            for title, options in groups
            if (shown := without(options["fields"], hidden))
        ]

    @fact(gettext_lazy("type"), "job_type", always=True)
    def type_name(self, job: Any) -> SafeString | str:
        """Return the job's type, with a link to its page for a reader who may open that, else to its jobs."""
        address = job.pages.job_type(type_of(job)) or self._links.jobs_of_type(job.job_type_id)
        return linked(address, line(job.job_type_id, 60))

    @fact(gettext_lazy("organization"), "organization", always=True)
    def tenant(self, job: Any) -> SafeString | str:
        """Return the id of the job's organization, with a link to its page or to its jobs; of a deleted one none."""
        return organization_line(job.pages, job)

    @fact(gettext_lazy("owner"), "owner", always=True)
    def owned_by(self, job: Job) -> SafeString | str:
        """Return the name of the job's owner, with a link to their jobs."""
        return owner_jobs(self._links, job.owner_name, 40)

    @fact(gettext_lazy("priority"), "priority", always=True)
    def urgency(self, job: Job) -> str:
        """Return the label of the job's priority."""
        return str(Priority(job.priority).label)

    @fact(gettext_lazy("retries"), "retry_count", "max_retries", always=True)
    def attempts_left(self, job: Job) -> str:
        """Return how many of its retries the job has used."""
        return _("%(count)d of %(total)d used") % {"count": job.retry_count, "total": job.max_retries}

    @fact(gettext_lazy("why it waits"), "waiting_for")
    def waits_because(self, job: Any) -> SafeString | str:
        """Return why the job does not run yet."""
        reason = (job.told if hasattr(job, "told") else describe(job)).waiting_for or ""
        is_for_system_admin = job.pages.is_for_system_admin
        type_url = job.pages.job_type(type_of(job)) if is_for_system_admin else ""  # who may change it
        told = waits_in_words(job, reason, _hidden_names(job), type_url, is_for_system_admin=is_for_system_admin)
        return format_html('<span data-code="{}">{}</span>', *told)

    @fact(gettext_lazy("starts after"), always=True)
    def starts_after(self, job: Job) -> str:
        """Return that the job does not need its parents to complete. The line is there for such jobs only."""
        return _("The jobs that it waits for have ended, whatever became of them.")

    @fact(gettext_lazy("batch"), "batch_id")
    def of_batch(self, job: Job) -> SafeString | str:
        """Return the batch that the job counts for; it may be deleted by now."""
        return batch_line(self.admin_site.name, job)

    @fact(gettext_lazy("submitted by"), always=True)
    def followed_batch(self, job: Job) -> SafeString | str:
        """Return the batch that submitted the job when it ended. The line is there for such jobs only."""
        return followed_line(self.admin_site.name, job)

    @fact(gettext_lazy("submitted by"), "submitted_by_id")
    def submitter(self, job: Job) -> SafeString | str:
        """Return the job whose handler submitted this one; it may be deleted by now."""
        return submitter_line(self.admin_site.name, job)

    @fact(gettext_lazy("submitted by"), always=True)
    def scheduled_by(self, job: Job) -> SafeString:
        """Return the schedule that submitted the job. The line is there for such jobs only."""
        return schedule_line(self.admin_site.name, job)

    @fact(gettext_lazy("progress"), "progress", "progress_message", always=True)
    def progress_now(self, job: Job) -> SafeString:
        """Return the progress bar and the handler's latest message, which an open page keeps up to date."""
        message = format_html(' <bdi data-djobs-message="{}">{}</bdi>', job.pk, job.progress_message)
        return format_html("{}{}", progress_bar(job), message)

    @fact(gettext_lazy("input parameters"), "input_parameters", always=True)
    def parameters(self, job: Job) -> SafeString | str:
        """Return the input parameters with sensitive values masked."""
        return as_json(job.input_parameters, _hidden_names(job), whole=_shows_all(job))

    @fact(gettext_lazy("result"), "result")
    def outcome(self, job: Job) -> SafeString | str:
        """Return what the handler returned, with sensitive values masked."""
        return as_json(job.result, _hidden_names(job), whole=_shows_all(job))

    @fact(gettext_lazy("output"), "output_reference")
    def output(self, job: Job) -> SafeString | str:
        """Return a link to the file that the handler saved, or the reference if it is not the name of one."""
        reference = job.output_reference
        if not reference or not context.output_belongs_to(reference, job.organization_id, job.name):
            return line(reference)
        name = format_html("<bdi>{}</bdi>", PurePosixPath(reference).name)
        return format_html('<a href="../output/">{}</a>', format_html(_("Download {name}"), name=name))

    @fact(gettext_lazy("metadata"), "metadata")
    def correlation(self, job: Job) -> SafeString | str:
        """Return the metadata with sensitive values masked."""
        return as_json(without_carried(job.metadata), _hidden_names(job), whole=_shows_all(job))

    @fact(gettext_lazy("changed by"), "operation_id")
    def acted_on_by(self, job: Any) -> SafeString | str:
        """Return the operation that acted on the job last, with a link; it may be deleted by now."""
        address = job.pages.operations([job.operation_id]).get(job.operation_id, "")
        return linked(address, _("operation %(number)s") % {"number": job.operation_id})

    @fact(gettext_lazy("worker"), "worker_name")
    def worker(self, job: Any) -> SafeString | str:
        """Return the worker of the latest attempt, with links to its jobs and to the workers; for system admins."""
        name, workers = worker_jobs(self._links, job.worker_name, 120), job.pages.workers()
        if not workers:
            return name
        return format_html('{} <a class="djobs-own-page" href="{}">{}</a>', name, workers, _("workers"))

    @property
    def _links(self) -> Links:
        return Links(self.admin_site.name)

    @fact(gettext_lazy("cancel requested"), "cancel_requested")
    def cancel_requested(self, job: Job) -> SafeString | str:
        """Return when somebody asked the job to stop."""
        return moment(job.cancel_requested_at)


def _others(request: HttpRequest, job: Job) -> list[tuple[str, dict[str, Any]]]:
    """Return the fields of JobStatus that no line of the page tells, as a group. Return no group where all are told."""
    told = ELSEWHERE.union(*(getattr(item, "tells", ()) for item in vars(JobFacts).values()))
    names = [item.name for item in dataclasses.fields(JobStatus) if item.name not in told]
    if not names:
        return []
    status = describe(job, user=request.user)
    values = {name: getattr(status, name) for name in names}
    return [(_("Others"), {"fields": tuple(other(name, value) for name, value in values.items() if value)})]


def _shows_all(job: Job) -> bool:
    return bool(getattr(job, "shows_all", False))


def _hidden_names(job: Job) -> Names:
    """Return the keys whose values the reader may not see: all sensitive ones if nobody said who reads."""
    names: Names | None = getattr(job, "hidden_names", None)
    return sensitive_names() if names is None else names
