"""The columns of the list of schedules, and the words in which its pages tell a schedule."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString

from django_jobs.admin.base import BaseAdmin
from django_jobs.admin.durations import brief_duration
from django_jobs.admin.formatting import NOTHING, ago, line
from django_jobs.admin.lookups import DeclaredList
from django_jobs.engine.schedules.timetable import rule_of
from django_jobs.engine.store.organization_ids import current_ids
from django_jobs.models import Job, Schedule, ScheduleFiring

Outcome = ScheduleFiring.Outcome
EACH: Final = "each active organization"
#: By outcome, the class of its color.
COLORS: Final = {Outcome.SUBMITTED: "completed", Outcome.SKIPPED: "canceled", Outcome.FAILED: "dead-letter"}


class ScheduleList(DeclaredList):
    """A page of schedules with tenants and last firings, read in three statements for all of them."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        note_tenants(self.result_list)
        pks = [row.newest_firing for row in self.result_list if row.newest_firing]
        firings = ScheduleFiring.primary.in_bulk(pks)
        names = job_names(list(firings.values()))
        for row in self.result_list:
            row.shown_firing = firings.get(row.newest_firing)
            row.shown_job = names.get(getattr(row.shown_firing, "job_id", None))


def note_tenants(schedules: list[Any]) -> None:
    """Note on each schedule the id of its organization, or words for it."""
    ids: dict[Any, str] = current_ids({row.organization_id for row in schedules} - {None})
    for row in schedules:
        gone = f"(deleted: key {row.organization_id})"
        row.shown_tenant = EACH if row.organization_id is None else ids.get(row.organization_id, gone)


def job_names(firings: list[ScheduleFiring]) -> dict[Any, str]:
    """Return the ids of the firings' jobs by their keys; a job that was deleted is missing."""
    pks = {firing.job_id for firing in firings if firing.job_id is not None}
    jobs = Job.primary.filter(pk__in=pks).only("pk", "created_at").order_by() if pks else ()
    return {job.pk: job.name for job in jobs}


class ScheduleColumns(BaseAdmin):
    """The columns of the list."""

    list_display = ("name_shown", "state", "fires", "last_firing", "what")

    @admin.display(description="name", ordering="name")
    def name_shown(self, schedule: Schedule) -> SafeString | str:
        """Return the name."""
        return line(schedule.name, 60)

    @admin.display(description="submits", ordering="job_type_id")
    def what(self, schedule: Any) -> SafeString:
        """Return the name of the job type and, below it, for which organization."""
        kind, tenant = line(schedule.job_type_id, 40), line(schedule.shown_tenant, 60)
        return format_html("{}<br><small>{}</small>", kind, tenant)

    @admin.display(description="fires", ordering="next_run_at")
    def fires(self, schedule: Schedule) -> SafeString | str:
        """Return the rule in words, with its time zone where that is another one, and below it when it fires next."""
        is_own = schedule.cron and schedule.timezone != timezone.get_current_timezone_name()
        words = format_html("{}{}", rule_of(schedule).words(), f" ({schedule.timezone})" if is_own else "")
        if schedule.next_run_at is None:
            return words
        following = f"{until(schedule.next_run_at)}, "
        return format_html("{}<br><small>{}{}</small>", words, following, _brief(schedule.next_run_at))

    @admin.display(description="last firing")
    def last_firing(self, schedule: Any) -> SafeString | str:
        """Return what came of the last firing, and how long ago it was."""
        firing = schedule.shown_firing
        if firing is None:
            return NOTHING
        text = format_html("{}<br><small>{}</small>", outcome_badge(firing), ago(firing.fired_at))
        link = job_link(self, firing, schedule.shown_job)
        return format_html("{}<br><small>{}</small>", text, link) if link else text

    @admin.display(description="state")
    def state(self, schedule: Schedule) -> SafeString:
        """Return whether it is on, and why it cannot fire."""
        fault = format_html("<br><small>{}</small>", line(schedule.fault, 80)) if schedule.fault else ""
        return format_html("{}{}", state_badge(schedule), fault)


def state_of(schedule: Schedule) -> tuple[str, str]:
    """Return the state of a schedule as (word, class of its color)."""
    if not schedule.is_enabled:
        return "paused", "timed-out"
    if schedule.fault:
        return "cannot fire", "dead-letter"
    return ("on", "completed") if schedule.next_run_at is not None else ("over", "canceled")


def state_badge(schedule: Schedule) -> SafeString:
    """Return the state as a colored word."""
    words, name = state_of(schedule)
    return format_html('<span class="djobs-badge djobs-{}">{}</span>', name, words)


def outcome_badge(firing: ScheduleFiring) -> SafeString:
    """Return the outcome of a firing as a colored word."""
    outcome = Outcome(firing.outcome)
    return format_html('<span class="djobs-badge djobs-{}">{}</span>', COLORS[outcome], outcome.label.lower())


def job_link(model_admin: BaseAdmin, firing: ScheduleFiring, name: str | None) -> SafeString:
    """Return a link to the job of a firing, or to the first of them; nothing for a job that is gone."""
    if name is None or firing.job_id is None:
        return SafeString("")
    address = reverse(f"{model_admin.admin_site.name}:django_jobs_job_change", args=(firing.job_id,))
    more = f" and {firing.submitted - 1:,} more" if firing.submitted > 1 else ""
    return format_html('<a href="{}">{}</a>{}', address, name, more)


def _brief(value: dt.datetime) -> SafeString:
    """Return a moment to the minute. A tooltip and the ``datetime`` attribute have the exact one."""
    local = timezone.localtime(value)
    text = f"{local:%a} {date_format(local, 'M j, H:i')} {local:%Z}"
    return format_html('<time datetime="{0}" title="{0}">{1}</time>', local.isoformat(), text)


def until(value: dt.datetime) -> str:
    """Return in how long a moment comes."""
    seconds = (value - timezone.now()).total_seconds()
    return f"in {brief_duration(seconds)}" if seconds > 0 else "now"
