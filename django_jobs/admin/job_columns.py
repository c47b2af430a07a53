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
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from django_jobs.admin.base import BaseAdmin
from django_jobs.admin.durations import brief_duration
from django_jobs.admin.formatting import NOTHING, ago, badge, line, slug
from django_jobs.engine.store.organization_ids import is_gone, shown_id
from django_jobs.models import Job
from django_jobs.statuses import AWAITING_TURN, TERMINAL, Priority, Status


class LiveText:
    """A column of plain text that an open page keeps up to date: ``admin.js`` puts the new text in its place."""

    def __init__(self, title: str, text_of: Callable[[Job, dt.datetime], str]) -> None:
        self.short_description = title
        self.text_of = text_of

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self.name = name

    def __call__(self, job: Job) -> SafeString:
        return format_html('<span data-djobs-{}="{}">{}</span>', self.name, job.pk, self.text_of(job, timezone.now()))


class JobColumns(BaseAdmin):
    """The columns of the jobs list."""

    list_display = ("job_id", "state", "kind", "tenant_and_owner", "waited", "ran", "age")

    waited = LiveText("waited", lambda job, now: as_text(wait_seconds(job, now)))
    ran = LiveText("ran", lambda job, now: as_text(run_seconds(job, now)))

    @admin.display(description="job")
    def job_id(self, job: Job) -> str:
        """Return the job's id."""
        return job.name

    @admin.display(description="type")
    def kind(self, job: Job) -> SafeString | str:
        """Return the job's type, and its priority where that is not the usual one."""
        if job.priority == Priority.NORMAL:
            return line(job.job_type_id, 40)
        return format_html("{} <small>{}</small>", line(job.job_type_id, 40), Priority(job.priority).label)

    @admin.display(description="organization")
    def tenant_and_owner(self, job: Job) -> SafeString:
        """Return the job's organization and, below it, its owner."""
        owner = format_html("<br><small>{}</small>", line(job.owner_name, 40)) if job.owner_name else ""
        return format_html("{}{}", tenant(job), owner)

    @admin.display(description="status")
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

    @admin.display(description="created")
    def age(self, job: Job) -> SafeString:
        """Return how long ago the job was submitted."""
        return ago(job.created_at)


#: The columns of the export, by title. ``job_export`` adds the parameters, masked for who may not read all of them.
EXPORTED: Final[dict[str, Callable[[Job], Any]]] = {
    "job": attrgetter("name"),
    "type": attrgetter("job_type_id"),
    "organization": shown_id,
    "owner": attrgetter("owner_name"),
    "status": attrgetter("status"),
    "priority": lambda job: Priority(job.priority).label,
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


def tenant(job: Job) -> SafeString | str:
    """Return the id that the job's organization has now; beside that of a deleted one, that it is deleted.

    Another organization may have that id by now.
    """
    name = line(shown_id(job), 40)
    return format_html("{} <small>deleted</small>", name) if is_gone(job) else name


def progress_bar(job: Job) -> SafeString:
    """Return the element that the pages' script keeps up to date. It is hidden until there is something to show."""
    is_shown = job.progress or job.status == Status.RUNNING
    return format_html(
        '<span data-djobs-progress="{0}" title="{2}"{3}>'
        '<progress max="100" value="{1}" aria-label="progress"></progress> <small>{1} %</small></span>',
        job.pk,
        job.progress,
        job.progress_message,
        "" if is_shown else mark_safe(" hidden"),
    )


def is_stopping(job: Job) -> bool:
    """Return whether the job runs and was asked to stop."""
    return job.status == Status.RUNNING and job.cancel_requested_at is not None


def note(job: Job) -> str:
    """Return what the status alone does not tell: that the job is stopping, or which attempt this is."""
    if is_stopping(job):
        return "stopping"
    return f"attempt {job.attempt}" if job.attempt > 1 else ""


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


def page_state(job: Job, work: str = "") -> str:
    """Return what the rest of a job's page depends on: its buttons, result, error and attempts.

    ``work`` tells what its handler has stored until now. The script reads the page again once this differs from what
    the page was made of.
    """
    moments = (job.cancel_requested_at, job.run_at, job.next_retry_at)
    told = ("-" if at is None else at.isoformat() for at in moments)
    return " ".join([str(job.status), str(job.attempt), *told, work])


def live_facts(job: Job, now: dt.datetime, work: str = "") -> dict[str, Any]:
    """Return what changes of a job while its page is open, in plain values; ``texts`` are those of each LiveText."""
    columns = [column for column in vars(JobColumns).values() if isinstance(column, LiveText)]
    return {
        "status": str(job.status),
        "slug": slug(job.status),
        "note": note(job),
        "final": job.status in TERMINAL,
        "state": page_state(job, work),
        "progress": job.progress,
        "message": job.progress_message,
        "texts": {column.name: column.text_of(job, now) for column in columns},
    }
