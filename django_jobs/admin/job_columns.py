"""What the list tells of a job, and what a page that stays open asks again."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.contrib import admin
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from django_jobs.admin.base import BaseAdmin
from django_jobs.admin.durations import brief_duration
from django_jobs.admin.texts import NOTHING, ago, badge, line, moment, slug
from django_jobs.engine.store.organization_ids import is_gone, shown_id
from django_jobs.models import Job
from django_jobs.statuses import AWAITING_TURN, TERMINAL, Priority, Status


class JobColumns(BaseAdmin):
    """The columns of the jobs list."""

    @admin.display(description="job")
    def job_id(self, job: Job) -> str:
        return job.name

    @admin.display(description="type")
    def type_name(self, job: Job) -> str:
        return job.job_type_id

    @admin.display(description="type")
    def kind(self, job: Job) -> SafeString | str:
        """With its priority, where that is not the usual one."""
        if job.priority == Priority.NORMAL:
            return line(job.job_type_id, 40)
        return format_html("{} <small>{}</small>", line(job.job_type_id, 40), Priority(job.priority).label)

    @admin.display(description="organization")
    def tenant(self, job: Job) -> SafeString | str:
        return tenant(job)

    @admin.display(description="organization")
    def tenant_and_owner(self, job: Job) -> SafeString:
        owner = format_html("<br><small>{}</small>", line(job.owner_name, 40)) if job.owner_name else ""
        return format_html("{}{}", tenant(job), owner)

    @admin.display(description="owner")
    def owned_by(self, job: Job) -> SafeString | str:
        return line(job.owner_name, 40)

    @admin.display(description="status")
    def state(self, job: Job) -> SafeString:
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

    @admin.display(description="waited")
    def waited(self, job: Job) -> SafeString:
        return format_html('<span data-djobs-waited="{}">{}</span>', job.pk, as_text(wait_seconds(job)))

    @admin.display(description="ran")
    def ran(self, job: Job) -> SafeString:
        return format_html('<span data-djobs-ran="{}">{}</span>', job.pk, as_text(run_seconds(job)))

    @admin.display(description="created")
    def age(self, job: Job) -> SafeString:
        return ago(job.created_at)

    @admin.display(description="created")
    def created(self, job: Job) -> SafeString | str:
        return moment(job.created_at)

    @admin.display(description="priority")
    def urgency(self, job: Job) -> str:
        return str(Priority(job.priority).label)


def tenant(job: Job) -> SafeString | str:
    """The id that the job's organization has now. A deleted one is said to be so: another may have its id by now."""
    name = line(shown_id(job), 40)
    return format_html("{} <small>deleted</small>", name) if is_gone(job) else name


def progress_bar(job: Job) -> SafeString:
    """The element that the pages' script keeps up to date; not shown before there is anything to show."""
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
    """Whether it runs, and was asked to stop."""
    return job.status == Status.RUNNING and job.cancel_requested_at is not None


def note(job: Job) -> str:
    """What a status alone does not tell."""
    if is_stopping(job):
        return "stopping"
    return f"attempt {job.attempt}" if job.attempt > 1 else ""


def wait_seconds(job: Job, now: dt.datetime | None = None) -> float | None:
    """How long its latest attempt waited, or has waited until now, since it could have run."""
    since = max(job.created_at, job.run_at) if job.run_at else job.created_at
    if job.attempt > 1 and job.queued_at:
        since = job.queued_at
    if job.status in AWAITING_TURN:
        until = now or timezone.now()
        return max(0.0, (until - since).total_seconds()) if until >= since else None
    return (job.started_at - since).total_seconds() if job.started_at else None


def run_seconds(job: Job, now: dt.datetime | None = None) -> float | None:
    """How long its latest attempt ran, or has run until now."""
    if job.started_at is None or job.status in AWAITING_TURN:
        return None
    until = (now or timezone.now()) if job.status == Status.RUNNING else (job.completed_at or job.canceled_at)
    return max(0.0, (until - job.started_at).total_seconds()) if until else None


def as_text(seconds: float | None) -> str:
    return NOTHING if seconds is None else brief_duration(seconds)


def page_state(job: Job) -> str:
    """What the rest of a job's page depends on: buttons, result, error, attempts. The page is read again once it
    differs from what the page was made of.
    """
    moments = (job.cancel_requested_at, job.run_at, job.next_retry_at)
    return " ".join([str(job.status), str(job.attempt), *("-" if at is None else at.isoformat() for at in moments)])


def live_facts(job: Job, now: dt.datetime) -> dict[str, Any]:
    """What changes of a job while its page is open, in plain values."""
    return {
        "status": str(job.status),
        "slug": slug(job.status),
        "note": note(job),
        "final": job.status in TERMINAL,
        "state": page_state(job),
        "attempt": job.attempt,
        "progress": job.progress,
        "message": job.progress_message,
        "waited": as_text(wait_seconds(job, now)),
        "ran": as_text(run_seconds(job, now)),
    }
