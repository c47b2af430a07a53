from __future__ import annotations

import json
from typing import Any, Final

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import ValidationError
from django.db import DataError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.formats import localize
from django.utils.html import format_html, format_html_join
from django.utils.text import Truncator
from django.utils.timezone import localtime

from django_jobs.admin.base import NobodyWrites, is_system_admin
from django_jobs.conf import jobs_settings
from django_jobs.engine.access import get_policy
from django_jobs.models import ExecutionLog, Job, get_organization_model
from django_jobs.models.job import parse_job_id
from django_jobs.statuses import IN_FLIGHT, TERMINAL, Status

#: No index serves the ended statuses, so that they are looked for among so many of the newest jobs.
RECENT: Final = 100_000
MAX_LISTED: Final = 50
HISTORY_ROWS: Final = 50
MAX_TEXT: Final = 20_000
LARGE: Final = ("input_parameters", "metadata", "result", "output_reference", "error_message", "progress_message")


class JobList(ChangeList):
    """The list needs none of the large columns."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        return super().get_queryset(request, exclude_parameters).defer(*LARGE)


class StatusFilter(admin.SimpleListFilter):
    title = f"status (ended ones: of the newest {RECENT:,} jobs)"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(status.value, str(status.label)) for status in Status]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        status = self.value()
        if status not in Status.values:
            return queryset
        rows = queryset.filter(status=status)
        if status in TERMINAL:
            newest = Job.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
            return rows.filter(pk__gt=newest - RECENT)
        # Each in words that its partial index answers.
        if status in IN_FLIGHT:
            return rows.filter(status__in=sorted(IN_FLIGHT))
        return rows.filter(ready_at__isnull=False)


class OrganizationFilter(admin.SimpleListFilter):
    title = f"organization (the first {MAX_LISTED}; search finds any)"
    parameter_name = "organization"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        if is_system_admin(request):
            rows = get_organization_model()._default_manager.all()
        else:
            rows = get_policy().organizations_of(request.user)
        field = jobs_settings.ORGANIZATION_ID_FIELD
        return [(str(pk), str(name)) for pk, name in rows.order_by(field).values_list("pk", field)[:MAX_LISTED]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        # Only what was offered, so that no value is one that the key's type cannot take.
        chosen = self.value()
        offered = {str(value) for value, _ in self.lookup_choices}
        return queryset.filter(organization_id=chosen) if chosen in offered else queryset


@admin.register(Job)
class JobAdmin(NobodyWrites):
    list_display = (
        "job_id",
        "type_name",
        "organization_name",
        "status",
        "priority",
        "percent",
        "attempt",
        "owner_name",
        "created_at",
    )
    list_filter = (StatusFilter, OrganizationFilter)
    search_fields = ("pk",)
    search_help_text = "A job id, such as JOB-2026-00001, or the id of an organization; both exactly."
    fieldsets = (
        (None, {"fields": ("job_id", "type_name", "organization_name", "owner_name", "status", "priority")}),
        ("Work", {"fields": ("percent", "progress_message", "parameters", "outcome", "output", "correlation")}),
        ("Trouble", {"fields": ("error_message", "error_type", "retry_count", "max_retries", "next_retry_at")}),
        ("Times", {"fields": ("created_at", "run_at", "queued_at", "started_at", "completed_at", "timeout_seconds")}),
        ("Cancellation", {"fields": ("cancel_requested_at", "canceled_at", "canceled_by")}),
        ("Worker", {"fields": ("attempt", "worker_name", "lease_expires_at")}),
        ("History", {"fields": ("latest_history",)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return Job.objects.visible_to(request.user)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return JobList

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        """Exact ids only: anything else would read every row."""
        term = search_term.strip()
        if not term:
            return queryset, False
        parsed = parse_job_id(term)
        if parsed is not None:
            return queryset.filter(pk=parsed[0], created_at__year=parsed[1]), False
        return queryset.filter(organization_id__in=organization_pks_of(term)), False

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """What a suspended organization's jobs made is withheld, as everywhere."""
        if obj is None or may_read_results(request, obj):
            return self.fieldsets
        hidden = {"outcome", "output"}
        return [
            (title, {"fields": tuple(name for name in options["fields"] if name not in hidden)})
            for title, options in self.fieldsets
        ]

    @admin.display(description="job")
    def job_id(self, job: Job) -> str:
        return job.name

    @admin.display(description="type")
    def type_name(self, job: Job) -> str:
        return job.job_type_id

    @admin.display(description="progress")
    def percent(self, job: Job) -> str:
        return f"{job.progress} %"

    @admin.display(description="input parameters")
    def parameters(self, job: Job) -> str:
        return as_text(job.input_parameters)

    @admin.display(description="metadata")
    def correlation(self, job: Job) -> str:
        return as_text(job.metadata)

    @admin.display(description="result")
    def outcome(self, job: Job) -> str:
        return as_text(job.result)

    @admin.display(description="output reference")
    def output(self, job: Job) -> str:
        return job.output_reference or "-"

    @admin.display(description=f"latest {HISTORY_ROWS} changes")
    def latest_history(self, job: Job) -> str:
        rows = ExecutionLog.objects.filter(job=job).order_by("-pk").defer("traceback")[:HISTORY_ROWS]
        lines = (
            (localize(localtime(row.timestamp)), str(row), row.actor, Truncator(row.message).chars(200))
            for row in reversed(rows)
        )
        return format_html("<ol>{}</ol>", format_html_join("", "<li>{}: {} by {} {}</li>", lines))


def may_read_results(request: HttpRequest, job: Job) -> bool:
    """Whether this user may see now what the job returned."""
    if is_system_admin(request):
        return True
    tenant = get_organization_model()._default_manager.filter(pk=job.organization_id).first()
    policy = get_policy()
    return tenant is not None and policy.is_active(tenant) and policy.can_read_output(request.user, job)


def organization_pks_of(text: str) -> list[Any]:
    """The primary key of the organization with this id, if there is one."""
    if "\x00" in text:
        return []
    found = get_organization_model()._default_manager.filter(**{jobs_settings.ORGANIZATION_ID_FIELD: text})
    try:
        return list(found.values_list("pk", flat=True))
    except (TypeError, ValueError, ValidationError, DataError):  # ids that are no text
        return []


def as_text(value: object) -> str:
    """JSON for people, not more of it than a page can bear."""
    if value is None:
        return "-"
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return format_html("<pre>{}</pre>", Truncator(text).chars(MAX_TEXT))
