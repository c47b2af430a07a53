"""The read-only facts on a job's page."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any, Final

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from django_jobs.admin.base import BaseAdmin, is_system_admin
from django_jobs.admin.durations import format_duration
from django_jobs.admin.job_columns import progress_bar
from django_jobs.admin.texts import NOTHING, as_json, block, line, moment
from django_jobs.engine.access import get_policy
from django_jobs.engine.execution import outputs
from django_jobs.engine.execution.retry import PERMANENT
from django_jobs.engine.insight.status import describe
from django_jobs.engine.job_types import unloadable
from django_jobs.engine.job_types.masking import Names, sensitive_names
from django_jobs.engine.store import database
from django_jobs.models import Job, get_organization_model
from django_jobs.statuses import RunAfter, Status

#: Why a job waits, for people; the words of ``JobStatus.waiting_for``.
REASONS: Final = {
    "run_at": "It is not due yet.",
    "dependency": "It waits for other jobs; they are listed below.",
    "retry": "Its next retry is not due yet.",
    "organization_inactive": "Its organization is suspended.",
    "type_disabled": "Its job type is disabled.",
    "type_paused": "Its job type is paused.",
    "handler": "No worker that tried could load its handler; after 10 minutes it ends as a Dead Letter.",
    "limit": "Its organization has as many jobs in flight as it may.",
    "window": "Other jobs are before it.",
    "broker": "It has a ticket; the next free worker takes it.",
}


#: Fields that say nothing when this attribute of the job is empty.
SOURCES: Final = {
    "waits_because": "waiting_for",
    "error": "error_message",
    "error_kind": "error_type",
    "outcome": "result",
    "output": "output_reference",
    "correlation": "metadata",
    "due": "run_at",
    "expires": "expires_at",
    "submitter": "submitted_by_id",
    "queued": "queued_at",
    "started": "started_at",
    "ended_at": "completed_at",
    "next_retry": "next_retry_at",
    "cancel_requested": "cancel_requested_at",
    "canceled": "canceled_at",
    "canceler": "canceled_by",
    "attempt": "attempt",
    "worker": "worker_name",
    "lease": "lease_expires_at",
}
EMPTY: Final[tuple[Any, ...]] = (None, "", 0, {})


class JobFacts(BaseAdmin):
    """The fields of a job's page. The page notes on the job what it was asked to show, as ``shows_all``, and what its
    reader may not see, as ``hidden_names``.
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
                    "submitter",
                    "progress_now",
                )
            },
        ),
        ("Error", {"fields": ("error", "error_kind")}),
        ("Work", {"fields": ("parameters", "outcome", "output", "correlation")}),
        (
            "Times",
            {
                "fields": (
                    ("created", "due", "expires", "queued", "started", "ended_at"),
                    ("waited", "ran", "time_limit", "next_retry"),
                )
            },
        ),
        ("Cancellation", {"fields": (("cancel_requested", "canceled", "canceler"),)}),
        ("Worker", {"fields": (("attempt", "worker", "lease"),), "classes": ("collapse",)}),
    )

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Without what says nothing of this job, and what a suspended organization's jobs made, as everywhere."""
        if obj is None:
            return self.fieldsets
        if not hasattr(obj, "waiting_for"):
            obj.waiting_for = describe(obj).waiting_for
        hidden = {name for name, attribute in SOURCES.items() if getattr(obj, attribute) in EMPTY}
        hidden |= set() if obj.run_after == RunAfter.ENDED else {"starts_after"}
        hidden |= set() if obj.progress or obj.status == Status.RUNNING else {"progress_now"}
        hidden |= set() if may_read_results(request, obj) else {"outcome", "output"}
        return [
            (title, {**options, "fields": shown})
            for title, options in self.fieldsets
            if (shown := _without(options["fields"], hidden))
        ]

    @admin.display(description="why it waits")
    def waits_because(self, job: Job) -> str:
        reason = getattr(job, "waiting_for", "")
        said = unloadable.reasons([job]).get(job.pk, "") if reason == "handler" else ""
        return f"{REASONS.get(reason, NOTHING)} {said}".strip()

    @admin.display(description="retries")
    def attempts_left(self, job: Job) -> str:
        return f"{job.retry_count} of {job.max_retries} used"

    @admin.display(description="progress")
    def progress_now(self, job: Job) -> SafeString:
        message = format_html(' <bdi data-djobs-message="{}">{}</bdi>', job.pk, job.progress_message)
        return format_html("{}{}", progress_bar(job), message)

    @admin.display(description="error")
    def error(self, job: Job) -> SafeString | str:
        return block(job.error_message, whole=_shows_all(job))

    @admin.display(description="kind")
    def error_kind(self, job: Job) -> str:
        return "Permanent: it is not retried by itself" if job.error_type == PERMANENT else job.error_type or NOTHING

    @admin.display(description="input parameters")
    def parameters(self, job: Job) -> SafeString | str:
        return as_json(job.input_parameters, _hidden_names(job), whole=_shows_all(job))

    @admin.display(description="metadata")
    def correlation(self, job: Job) -> SafeString | str:
        return as_json(job.metadata, _hidden_names(job), whole=_shows_all(job))

    @admin.display(description="result")
    def outcome(self, job: Job) -> SafeString | str:
        return as_json(job.result, _hidden_names(job), whole=_shows_all(job))

    @admin.display(description="output")
    def output(self, job: Job) -> SafeString | str:
        reference = job.output_reference
        if not reference or not outputs.belongs_to(reference, job.organization_id, job.name):
            return line(reference)
        return format_html('<a href="../output/">Download <bdi>{}</bdi></a>', PurePosixPath(reference).name)

    @admin.display(description="due at")
    def due(self, job: Job) -> SafeString | str:
        return moment(job.run_at)

    @admin.display(description="expires at")
    def expires(self, job: Job) -> SafeString | str:
        return moment(job.expires_at)

    @admin.display(description="starts after")
    def starts_after(self, job: Job) -> str:
        return "The jobs that it waits for have ended, whatever became of them."

    @admin.display(description="submitted by")
    def submitter(self, job: Job) -> SafeString | str:
        """The job whose handler submitted this one; it may be deleted by now."""
        attempt = f", attempt {job.submitted_by_attempt}" if job.submitted_by_attempt else ""
        rows = Job.primary.filter(pk=job.submitted_by_id or 0)
        found = rows.only("created_at").first()
        if found is None:
            return f"a job that is deleted{attempt}"
        address = reverse(f"{self.admin_site.name}:django_jobs_job_change", args=(found.pk,))
        return format_html('<a href="{}">{}</a>{}', address, found.name, attempt)

    @admin.display(description="queued")
    def queued(self, job: Job) -> SafeString | str:
        return moment(job.queued_at)

    @admin.display(description="started")
    def started(self, job: Job) -> SafeString | str:
        return moment(job.started_at)

    @admin.display(description="ended")
    def ended_at(self, job: Job) -> SafeString | str:
        return moment(job.completed_at)

    @admin.display(description="next retry")
    def next_retry(self, job: Job) -> SafeString | str:
        return moment(job.next_retry_at)

    @admin.display(description="time limit")
    def time_limit(self, job: Job) -> str:
        return format_duration(job.timeout_seconds)

    @admin.display(description="cancel requested")
    def cancel_requested(self, job: Job) -> SafeString | str:
        return moment(job.cancel_requested_at)

    @admin.display(description="canceled")
    def canceled(self, job: Job) -> SafeString | str:
        return moment(job.canceled_at)

    @admin.display(description="by")
    def canceler(self, job: Job) -> SafeString | str:
        return line(job.canceled_by)

    @admin.display(description="worker")
    def worker(self, job: Job) -> SafeString | str:
        return line(job.worker_name)

    @admin.display(description="lease until")
    def lease(self, job: Job) -> SafeString | str:
        return moment(job.lease_expires_at)


def _without(fields: Iterable[Any], hidden: set[str]) -> tuple[Any, ...]:
    """The fields, alone or several in a line, that are not hidden."""
    found: list[Any] = []
    for item in fields:
        names = tuple(name for name in ([item] if isinstance(item, str) else item) if name not in hidden)
        found += [names[0] if len(names) == 1 else names] if names else []
    return tuple(found)


def _shows_all(job: Job) -> bool:
    return bool(getattr(job, "shows_all", False))


def _hidden_names(job: Job) -> Names:
    """The keys that the page's reader may not see into; all sensitive ones where nobody said who reads."""
    names: Names | None = getattr(job, "hidden_names", None)
    return sensitive_names() if names is None else names


def may_read_results(request: HttpRequest, job: Job) -> bool:
    """Whether this user may see now what the job returned."""
    if is_system_admin(request):
        return True
    tenant = database.rows(get_organization_model()).filter(pk=job.organization_id).first()
    policy = get_policy()
    return tenant is not None and policy.is_active(tenant) and policy.can_read_output(request.user, job)
