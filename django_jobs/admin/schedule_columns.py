"""The columns of the list of schedules, and the words in which its pages tell a schedule."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext, pgettext_lazy

from django_jobs.admin.base import BaseAdmin
from django_jobs.admin.durations import brief_duration
from django_jobs.admin.formatting import NOTHING, ago, line, linked, zone_of
from django_jobs.admin.lookups import DeclaredList
from django_jobs.admin.numbers import format_number
from django_jobs.admin.open_pages import OpenPages
from django_jobs.admin.schedule_words import rule_words
from django_jobs.engine.schedules.timetable import rule_of
from django_jobs.engine.store.organization_ids import current_ids
from django_jobs.models import Job, JobType, Schedule, ScheduleFiring
from django_jobs.texts import comma

Outcome = ScheduleFiring.Outcome
EACH: Final = gettext_lazy("each active organization")
#: By outcome, its word and the class of its color.
WORDS: Final = {
    Outcome.SUBMITTED: pgettext_lazy("firing", "submitted"),
    Outcome.SKIPPED: pgettext_lazy("firing", "skipped"),
    Outcome.FAILED: pgettext_lazy("firing", "failed"),
}
COLORS: Final = {Outcome.SUBMITTED: "completed", Outcome.SKIPPED: "canceled", Outcome.FAILED: "dead-letter"}


class ScheduleList(DeclaredList):
    """A page of schedules with tenants and last firings, read in three statements for all of them."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        note_tenants(self.result_list)
        self._note_pages(request)
        pks = [row.newest_firing for row in self.result_list if row.newest_firing]
        firings = ScheduleFiring.primary.in_bulk(pks)
        names = job_names(list(firings.values()))
        for row in self.result_list:
            row.shown_firing = firings.get(row.newest_firing)
            row.shown_job = names.get(getattr(row.shown_firing, "job_id", None))

    def _note_pages(self, request: HttpRequest) -> None:
        """Note on each schedule where its type and its organization lead to."""
        admin_class: Any = self.model_admin
        note_pages(self.result_list, OpenPages(request, admin_class.admin_site.name))


def note_tenants(schedules: list[Any]) -> None:
    """Note on each schedule the id of its organization, or words for it."""
    ids: dict[Any, str] = current_ids({row.organization_id for row in schedules} - {None})
    for row in schedules:
        gone = _("(deleted: key %(key)s)") % {"key": row.organization_id}
        row.tenant_is_gone = row.organization_id is not None and row.organization_id not in ids
        row.shown_tenant = str(EACH) if row.organization_id is None else ids.get(row.organization_id, gone)


def note_pages(schedules: list[Any], pages: OpenPages) -> None:
    """Note on each schedule the pages of its type and its organization, or the lists of their jobs.

    A schedule for each organization, and one for an organization that is gone, has none for that.
    """
    kinds = JobType.primary.in_bulk({row.job_type_id for row in schedules})
    there = {row.organization_id for row in schedules if not row.tenant_is_gone} - {None}
    tenants = pages.organizations(there)
    for row in schedules:
        row.pages = pages
        jobs_url = pages.of_jobs(pages.links.jobs_of_type(row.job_type_id))
        row.type_url = pages.job_type(kinds.get(row.job_type_id)) or jobs_url
        tenant = row.organization_id
        jobs_url = pages.of_jobs(pages.links.jobs_of_organization(tenant)) if tenant in there else ""
        row.tenant_url = tenants.get(tenant) or jobs_url


def job_names(firings: list[ScheduleFiring]) -> dict[Any, str]:
    """Return the ids of the firings' jobs by their keys; a job that was deleted is missing."""
    pks = {firing.job_id for firing in firings if firing.job_id is not None}
    jobs = Job.primary.filter(pk__in=pks).only("pk", "created_at").order_by() if pks else ()
    return {job.pk: job.name for job in jobs}


class ScheduleColumns(BaseAdmin):
    """The columns of the list."""

    list_display = ("name_shown", "state", "fires", "last_firing", "what")

    @admin.display(description=gettext_lazy("name"), ordering="name")
    def name_shown(self, schedule: Schedule) -> SafeString | str:
        """Return the name."""
        return line(schedule.name, 60)

    @admin.display(description=gettext_lazy("submits"), ordering="job_type_id")
    def what(self, schedule: Any) -> SafeString:
        """Return the name of the job type and, below it, for which organization."""
        kind = linked(schedule.type_url, line(schedule.job_type_id, 40))
        tenant = linked(schedule.tenant_url, line(schedule.shown_tenant, 60))
        return format_html("{}<br><small>{}</small>", kind, tenant)

    @admin.display(description=gettext_lazy("fires"), ordering="next_run_at")
    def fires(self, schedule: Schedule) -> SafeString | str:
        """Return the rule in words, with its time zone where that is another one, and below it when it fires next."""
        is_own = schedule.cron and schedule.timezone != timezone.get_current_timezone_name()
        rule = rule_words(rule_of(schedule))
        # Without a letter, the fields of a rule that nobody has words for would be read from right to left.
        direction = mark_safe(' dir="ltr"') if rule == schedule.cron else ""
        words = format_html("<bdi{}>{}</bdi>{}", direction, rule, f" ({schedule.timezone})" if is_own else "")
        if schedule.next_run_at is None:
            return words
        return format_html(
            "{}<br><small>{}{}{}</small>", words, until(schedule.next_run_at), comma(), _brief(schedule.next_run_at)
        )

    @admin.display(description=gettext_lazy("last firing"))
    def last_firing(self, schedule: Any) -> SafeString | str:
        """Return what came of the last firing, and how long ago it was."""
        firing = schedule.shown_firing
        if firing is None:
            return NOTHING
        text = format_html("{}<br><small>{}</small>", outcome_badge(firing), ago(firing.fired_at))
        link = job_link(schedule.pages, firing, schedule.shown_job)
        return format_html("{}<br><small>{}</small>", text, link) if link else text

    @admin.display(description=gettext_lazy("state"))
    def state(self, schedule: Schedule) -> SafeString:
        """Return whether it is on, and why it cannot fire."""
        fault = format_html("<br><small>{}</small>", line(schedule.fault, 80)) if schedule.fault else ""
        return format_html("{}{}", state_badge(schedule), fault)


def state_of(schedule: Schedule) -> tuple[str, str]:
    """Return the state of a schedule as (word, class of its color)."""
    if not schedule.is_enabled:
        return pgettext("schedule", "paused"), "timed-out"
    if schedule.fault:
        return _("cannot fire"), "dead-letter"
    if schedule.next_run_at is None:
        return pgettext("schedule", "over"), "canceled"
    return pgettext("schedule", "on"), "completed"


def state_badge(schedule: Schedule) -> SafeString:
    """Return the state as a colored word."""
    words, name = state_of(schedule)
    return format_html('<span class="djobs-badge djobs-{}">{}</span>', name, words)


def outcome_badge(firing: ScheduleFiring) -> SafeString:
    """Return the outcome of a firing as a colored word."""
    outcome = Outcome(firing.outcome)
    return format_html('<span class="djobs-badge djobs-{}">{}</span>', COLORS[outcome], WORDS[outcome])


def job_link(pages: OpenPages, firing: ScheduleFiring, name: str | None) -> SafeString:
    """Return a link to the job of a firing, or to the first of them; nothing for a job that is gone."""
    if name is None or firing.job_id is None:
        return SafeString("")
    address = pages.of_jobs(pages.links.page("django_jobs_job_change", firing.job_id))
    link = format_html("{}", linked(address, name))
    others = firing.submitted - 1
    if others < 1:
        return link
    # Translators: the first of several jobs, as a link, and how many more there are.
    return format_html(
        ngettext("{job} and {count} more", "{job} and {count} more", others), job=link, count=format_number(others)
    )


def _brief(value: dt.datetime) -> SafeString:
    """Return a moment to the minute. A tooltip and the ``datetime`` attribute have the exact one."""
    local = timezone.localtime(value)
    # Translators: a date format, as Django's template filter "date" takes it: "Mon Nov 28, 12:03".
    text = f"{date_format(local, _('D M j, H:i'))} {zone_of(local)}"
    return format_html('<time datetime="{0}" title="{0}">{1}</time>', local.isoformat(), text)


def until(value: dt.datetime) -> str:
    """Return in how long a moment comes."""
    seconds = (value - timezone.now()).total_seconds()
    # Translators: in how long something comes: "in 3 min 20 s".
    return _("in %(duration)s") % {"duration": brief_duration(seconds)} if seconds > 0 else _("now")
