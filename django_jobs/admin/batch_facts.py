"""The read-only facts on a batch's page."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy

from django_jobs.admin.base import BaseAdmin
from django_jobs.admin.facts import fact, field, says_nothing, without
from django_jobs.admin.formatting import as_json, line, linked, moment
from django_jobs.admin.monitor_links import Links
from django_jobs.admin.numbers import format_number
from django_jobs.admin.open_pages import OpenPages, organization_line, owner_jobs
from django_jobs.engine.job_types.masking import hidden_from
from django_jobs.models import Batch, Job, JobType
from django_jobs.statuses import OpenTo


class BatchFacts(BaseAdmin):
    """The fields of a batch's page."""

    fieldsets = (
        (None, {"fields": (("of_organization", "owned_by", "takes_jobs_of"),)}),
        (gettext_lazy("What follows"), {"fields": ("if_completed", "if_failed")}),
        (gettext_lazy("Times"), {"fields": (("created", "started", "closed", "expired", "ended_at"),)}),
        (gettext_lazy("Changes"), {"fields": (("canceled_on", "canceler"), "retrier", "kept")}),
    )

    created = field(gettext_lazy("created"), "created_at", moment)
    started = field(gettext_lazy("started"), "started_at", moment)
    closed = field(gettext_lazy("closed"), "closed_at", moment)
    expired = field(gettext_lazy("expired"), "expired_at", moment)
    ended_at = field(gettext_lazy("ended"), "completed_at", moment)
    canceled_on = field(gettext_lazy("canceled"), "canceled_at", moment)
    canceler = field(gettext_lazy("by"), "canceled_by", line)
    retrier = field(gettext_lazy("last retried by"), "retried_by", line)
    kept = field(gettext_lazy("jobs that the access policy refused"), "refused", format_number)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Leave out the lines that are empty for this batch."""
        if obj is None:
            return self.fieldsets
        obj.hidden_names, obj.pages = hidden_from(request.user), OpenPages(request, self.admin_site.name)
        fields = [name for _, options in self.fieldsets for item in options["fields"] for name in _names(item)]
        hidden = {name for name in fields if says_nothing(getattr(self, name), obj)}
        return [
            (title, {**options, "fields": shown})
            for title, options in self.fieldsets
            if (shown := without(options["fields"], hidden))
        ]

    @fact(gettext_lazy("organization"), "organization", always=True)
    def of_organization(self, batch: Any) -> SafeString | str:
        """Return the id of the batch's organization, with a link to its page or to its jobs."""
        return organization_line(batch.pages, batch)

    @fact(gettext_lazy("owner"), "owner_name")
    def owned_by(self, batch: Any) -> SafeString | str:
        """Return the name of the batch's owner, with a link to their jobs."""
        return owner_jobs(Links(self.admin_site.name), batch.owner_name)

    @fact(gettext_lazy("open to"), "open_to", always=True)
    def takes_jobs_of(self, batch: Any) -> str:
        """Return whose jobs the batch takes beside those of server code."""
        if batch.open_to == OpenTo.OWNER and not batch.owner_name:
            return gettext("server code alone")
        return str(batch.get_open_to_display())

    @fact(gettext_lazy("if all complete"), "then")
    def if_completed(self, batch: Any) -> SafeString:
        """Return what is submitted once all its jobs completed."""
        return self._follow_up(batch, batch.then, batch.then_job_id)

    @fact(gettext_lazy("if not"), "on_failure")
    def if_failed(self, batch: Any) -> SafeString:
        """Return what is submitted once all its jobs ended and not all completed."""
        return self._follow_up(batch, batch.on_failure, batch.on_failure_job_id)

    def _follow_up(self, batch: Any, given: dict[str, Any], pk: int | None) -> SafeString:
        """Return a link to the job that was submitted, or what will be, with sensitive values masked."""
        kind = self._kind(batch, str(given["job_type"]))
        if pk is not None:
            return self._submitted(batch, kind, pk)
        values = {name: value for name, value in given.items() if name != "job_type"}
        shown = as_json(values, batch.hidden_names) if values else ""
        # Translators: the name of a job type, and what is submitted of it.
        text = gettext("{type}, not submitted yet {parameters}")
        return format_html(text, type=kind, parameters=shown)

    @staticmethod
    def _kind(batch: Any, name: str) -> SafeString | str:
        """Return the name of a type as a link to its page, where the reader may open it."""
        return linked(batch.pages.job_type(JobType.primary.filter(pk=name).first()), line(name, 60))

    @staticmethod
    def _submitted(batch: Any, kind: SafeString | str, pk: int) -> SafeString:
        found = Job.primary.filter(pk=pk).first()
        if found is None:
            return format_html(gettext("{type}: submitted, and deleted since"), type=kind)
        return format_html("{}: {}", kind, linked(batch.pages.job(found), found.name))


def _names(item: Any) -> tuple[str, ...]:
    return (item,) if isinstance(item, str) else tuple(item)


def is_missing_follow_up(batch: Batch) -> bool:
    """Return whether the batch has ended, and what should follow it could not be submitted."""
    return bool(batch.fault) and batch.completed_at is not None
