"""The columns of the jobs list and of its export: what each tells, and which of them an open page keeps up to date.

A new column is a method of ``JobColumns`` and its name in ``list_display``; where its text changes while a job runs, a
``LiveText``. A new column of the export is an item of ``EXPORTED``. Nothing else lists them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final

from django.contrib import admin
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_jobs.admin.base import BaseAdmin
from django_jobs.admin.durations import brief_duration
from django_jobs.admin.formatting import NOTHING, ago, badge, slug, status_word
from django_jobs.admin.job_cells import (
    batch_cell,
    cut,
    error_cell,
    error_link,
    error_text,
    narrowing,
    owner_cell,
    type_cell,
)
from django_jobs.admin.seen_organizations import tenant
from django_jobs.engine.store.organization_ids import is_gone, shown_id
from django_jobs.models import Job, JobType
from django_jobs.statuses import AWAITING_TURN, TERMINAL, Priority, Status


class LiveText:
    """A column of plain text that an open page keeps up to date: ``job_list.js`` puts the new text in its place."""

    def __init__(self, title: Any, said: Callable[[Job, dt.datetime], str]) -> None:
        self.short_description = title
        self.said = said

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self.name = name

    def __call__(self, job: Job) -> SafeString:
        return format_html('<span data-djobs-{}="{}">{}</span>', self.name, job.pk, self.said(job, timezone.now()))


class JobColumns(BaseAdmin):
    """The columns of the jobs list."""

    list_display = ("job_id", "state", "kind", "failed_with", "tenant_and_owner", "times")

    waited = LiveText(_("waited"), lambda job, now: as_text(wait_seconds(job, now)))
    ran = LiveText(_("ran"), lambda job, now: as_text(run_seconds(job, now)))

    @admin.display(description=_("job"))
    def job_id(self, job: Job) -> str:
        """Return the job's id."""
        return job.name

    @admin.display(description=_("type"))
    def kind(self, job: Job) -> SafeString:
        """Return the job's type, its priority where that is not the usual one, and its batch."""
        cell, batch = type_cell(job), batch_cell(job)
        if job.priority != Priority.NORMAL:
            cell = format_html("{} <small>{}</small>", cell, Priority(job.priority).label)
        return format_html("{}<br><small>{}</small>", cell, batch) if batch else cell

    @admin.display(description=_("error"))
    def failed_with(self, job: Job) -> SafeString:
        """Return the first words of the error, where the last attempt failed."""
        return error_cell(self.admin_site.name, job)

    @admin.display(description=_("organization"))
    def tenant_and_owner(self, job: Job) -> SafeString:
        """Return the job's organization and, below it, its owner."""
        name: SafeString | str = tenant(job)
        if not is_gone(job):
            name = narrowing(job, name, gettext("Jobs of this organization"), organization=job.organization_id)
        return (
            format_html("{}<br><small>{}</small>", name, owner_cell(job)) if job.owner_name else format_html("{}", name)
        )

    @admin.display(description=_("status"))
    def state(self, job: Job) -> SafeString:
        """Return the status with a note and, until the job ends, its progress; an open page keeps them up to date."""
        is_ended = job.status in TERMINAL
        is_final = "yes" if is_ended else "no"
        return format_html(
            '<span data-djobs-job="{}" data-djobs-final="{}">{} <small>{}</small></span> {}',
            job.pk,
            is_final,
            badge(job.status),
            note(job),
            "" if is_ended else progress_bar(job),
        )

    @admin.display(description=_("times"))
    def times(self, job: Job) -> SafeString:
        """Return how long ago the job was submitted, how long it waited and how long it ran."""
        lines = ((gettext("waited"), JobColumns.waited(job)), (gettext("ran"), JobColumns.ran(job)))
        return format_html("{}{}", ago(job.created_at), format_html_join("", "<br><small>{} {}</small>", lines))


#: The columns of the export, by title. ``job_export`` adds the parameters, masked for who may not read all of them.
EXPORTED: Final[dict[str, Callable[[Job], Any]]] = {
    "job": attrgetter("name"),
    "type": attrgetter("job_type_id"),
    "organization": shown_id,
    "owner": attrgetter("owner_name"),
    "status": attrgetter("status"),
    "priority": lambda job: Priority(job.priority).word,
    "progress": attrgetter("progress"),
    "attempt": attrgetter("attempt"),
    "retry_count": attrgetter("retry_count"),
    "created_at": attrgetter("created_at"),
    "run_at": attrgetter("run_at"),
    "queued_at": attrgetter("queued_at"),
    "started_at": attrgetter("started_at"),
    "completed_at": attrgetter("completed_at"),
    "canceled_at": attrgetter("canceled_at"),
    "canceled_by": attrgetter("canceled_by"),
    "error_type": attrgetter("error_type"),
    "error_message": attrgetter("error_message"),
}


def type_of(job: Job) -> JobType | None:
    """Return the job's type, read once for a row of it; None where it is gone."""
    known = job._state.fields_cache
    if "job_type" not in known:
        known["job_type"] = JobType.primary.filter(pk=job.job_type_id).first()
    kind: JobType | None = known["job_type"]
    return kind


def progress_bar(job: Job) -> SafeString:
    """Return the element that the pages' script keeps up to date. It is hidden until there is something to show."""
    is_shown = job.progress or job.status == Status.RUNNING
    return format_html(
        '<span data-djobs-progress="{0}" title="{2}"{3}>'
        '<progress max="100" value="{1}" aria-label="{4}"></progress> <small>{1} %</small></span>',
        job.pk,
        job.progress,
        job.progress_message,
        "" if is_shown else mark_safe(" hidden"),
        gettext("progress"),
    )


def is_stopping(job: Job) -> bool:
    """Return whether the job runs and was asked to stop."""
    return job.status == Status.RUNNING and job.cancel_requested_at is not None


def note(job: Job) -> str:
    """Return what the status alone does not tell: that the job is stopping, or which attempt this is."""
    if is_stopping(job):
        return gettext("stopping")
    return gettext("attempt %(number)s") % {"number": job.attempt} if job.attempt > 1 else ""


def wait_seconds(job: Job, now: dt.datetime) -> float | None:
    """Return how long the latest attempt waited, or has waited until now, since it could have run; None if not yet."""
    since = max(job.created_at, job.run_at) if job.run_at else job.created_at
    if job.attempt > 1 and job.queued_at:
        since = job.queued_at
    if job.status in AWAITING_TURN:
        return max(0.0, (now - since).total_seconds()) if now >= since else None
    return (job.started_at - since).total_seconds() if job.started_at else None


def run_seconds(job: Job, now: dt.datetime) -> float | None:
    """Return how long the latest attempt ran, or has run until now; None if it has not started."""
    if job.started_at is None or job.status in AWAITING_TURN:
        return None
    until = now if job.status == Status.RUNNING else (job.completed_at or job.canceled_at)
    return max(0.0, (until - job.started_at).total_seconds()) if until else None


def as_text(seconds: float | None) -> str:
    """Return a measured time for people, or a dash for none."""
    return NOTHING if seconds is None else brief_duration(seconds)


def live_facts(site: str, job: Job, now: dt.datetime) -> dict[str, Any]:
    """Return what changes of a job while a page of this admin site is open, in plain values.

    ``texts`` are those of each LiveText, ``links`` the addresses that belong to them.
    """
    columns = [column for column in vars(JobColumns).values() if isinstance(column, LiveText)]
    return {
        "status": str(job.status),
        "word": status_word(job.status),
        "slug": slug(job.status),
        "note": note(job),
        "final": job.status in TERMINAL,
        "links": {"error": error_link(site, job)},
        "progress": job.progress,
        "message": job.progress_message,
        "texts": {"error": cut(error_text(job)), **{column.name: column.said(job, now) for column in columns}},
    }
