"""Job types: their settings, the buttons that pause and disable them, and the form that tries one."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, Final

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import ADDITION
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from django_jobs.admin.base import SystemAdminWrites, View, is_system_admin
from django_jobs.admin.durations import format_duration
from django_jobs.admin.formatting import line
from django_jobs.admin.job_type_day import read_day
from django_jobs.admin.job_type_flow import BreakerPage, read_flow
from django_jobs.admin.job_type_form import LIMITS, SWITCHES, JobTypeForm, changed_values, retry_schedule, total_delay
from django_jobs.admin.submission_form import SubmissionForm
from django_jobs.engine.dispatch import dispatcher
from django_jobs.engine.insight.inspection import has_jobs
from django_jobs.engine.job_types import declarations
from django_jobs.engine.store import database
from django_jobs.engine.submission.rights import submittable
from django_jobs.models import JobType
from django_jobs.statuses import Priority

#: By button: the field and the value that it sets, and what is said of the type afterwards.
SWITCH: Final = {
    "pause": ("is_paused", True, "is paused: what is submitted waits, what runs goes on."),
    "resume": ("is_paused", False, "goes on: what waited may start."),
    "enable": ("is_enabled", True, "is enabled: it takes submissions."),
    "disable": ("is_enabled", False, "is disabled: submissions are refused, and nothing starts."),
}


@admin.register(JobType)
class JobTypeAdmin(JobTypeForm, BreakerPage, SystemAdminWrites):
    """The list of job types, and the page of one with its last 24 hours."""

    list_display = ("type_name", "title", "state", "handler", "urgency", "time_limit", "max_retries", "pool")
    list_filter = ("is_enabled", "is_paused", "pool")
    search_fields = ("type_name", "display_name", "handler_method")
    search_help_text = "A part of the name, or of the handler's path."
    ordering = ("type_name",)
    sortable_by = ("type_name", "max_retries", "pool")
    fieldsets = (
        (None, {"fields": ("type_name", *declarations.TextFields.__annotations__, "handler_method")}),
        ("What its jobs get", {"fields": tuple(declarations.DefaultFields.__annotations__)}),
        ("Who may submit it", {"fields": tuple(declarations.AccessFields.__annotations__)}),
        ("Retries", {"fields": (*declarations.RETRY_FIELDS, "schedule")}),
        *LIMITS,
        ("State", {"fields": tuple(declarations.StateFields.__annotations__)}),
    )
    change_form_template = "admin/django_jobs/jobtype/change_form.html"

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        # The name is the primary key: saving another one would make another type.
        return ("type_name", "schedule") if obj is not None else ("schedule",)

    def own_views(self) -> dict[str, tuple[str, View]]:
        """Return the views of the buttons and of the form that submits a job, by name."""
        switches = {verb: (f"<path:object_id>/{verb}/", partial(self._switch, verb=verb)) for verb in SWITCH}
        return {
            **switches,
            "close_breaker": ("<path:object_id>/close-breaker/", self._close_breaker),
            "submit": ("<path:object_id>/submit/", self._submit),
        }

    @admin.display(description="name", ordering="display_name")
    def title(self, kind: JobType) -> SafeString | str:
        """Return the display name."""
        return line(kind.display_name, 60)

    @admin.display(description="state")
    def state(self, kind: JobType) -> SafeString:
        """Return whether the type is enabled, disabled or paused."""
        words, name = ("enabled", "completed")
        if not kind.is_enabled:
            words, name = ("disabled", "canceled")
        elif kind.is_paused:
            words, name = ("paused", "timed-out")
        return format_html('<span class="djobs-badge djobs-{}">{}</span>', name, words)

    @admin.display(description="handler", ordering="handler_method")
    def handler(self, kind: JobType) -> SafeString | str:
        """Return the dotted path of the handler."""
        return line(kind.handler_method, 60)

    @admin.display(description="priority", ordering="default_priority")
    def urgency(self, kind: JobType) -> str:
        """Return the label of the default priority."""
        return str(Priority(kind.default_priority).label)

    @admin.display(description="time limit", ordering="default_timeout")
    def time_limit(self, kind: JobType) -> str:
        """Return the default time limit."""
        return format_duration(kind.default_timeout)

    @admin.display(description="schedule")
    def schedule(self, kind: JobType) -> SafeString | str:
        """Return the delays before the retries, as a list."""
        if not kind.max_retries:
            return "No retry: a failure makes it a Dead Letter."
        delays = retry_schedule(kind)
        steps = format_html_join("", "<li>{}</li>", ((delay,) for delay in delays))
        more = f"And {kind.max_retries - len(delays)} more." if len(delays) < kind.max_retries else ""
        return format_html(
            '<ol class="djobs-schedule">{}</ol>{} The last one is {} after the first failure, the runs not counted; '
            "then it is a Dead Letter. As saved; each delay varies a little.",
            steps,
            more,
            total_delay(kind),
        )

    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm[Any], change: bool) -> None:
        if not change:
            super().save_model(request, obj, form, change)
            return
        values = changed_values(form)
        stored = JobType.primary.get(pk=obj.pk)
        if values:
            obj.save(update_fields=list(values))
        for name in SWITCHES:
            if name not in values and getattr(stored, name) != getattr(obj, name):
                state = (
                    ("paused" if stored.is_paused else "resumed")
                    if name == "is_paused"
                    else ("enabled" if stored.is_enabled else "disabled")
                )
                self.message_user(request, f"{obj.pk} was {state} meanwhile; that was left as it is.", messages.WARNING)
        database.once_on_commit(dispatcher.wake)

    def get_deleted_objects(self, objs: Iterable[Any], request: HttpRequest) -> Any:
        """Tell that a type with jobs is protected. Django's own collector would load every job to find out."""
        types = list(objs)
        protected = [f"{kind.type_name} has jobs; disable it instead." for kind in types if has_jobs(job_type=kind)]
        return [str(kind) for kind in types], {JobType._meta.verbose_name_plural: len(types)}, set(), protected

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        kind = context["original"]
        if kind is not None and is_system_admin(request):
            context |= {
                "day": read_day(kind),
                "flow": read_flow(kind, request.user),
                "breaker": self.breaker_notice(kind),
                "switches": self._buttons(kind),
                "submit_url": self.url_of("submit", kind.pk) if submittable(request.user, [kind]) else "",
                "state": self.state(kind),
            }
            query = f"?type={kind.pk}"
            context["dead_letters_url"] = reverse(f"{self.admin_site.name}:django_jobs_deadletter_changelist") + query
            context["jobs_url"] = reverse(f"{self.admin_site.name}:django_jobs_job_changelist") + query
        return super().render_change_form(request, context, *args, **kwargs)

    def _buttons(self, kind: JobType) -> list[tuple[str, str]]:
        verbs = ["resume" if kind.is_paused else "pause", "disable" if kind.is_enabled else "enable"]
        return [(verb.capitalize(), self.url_of(verb, kind.pk)) for verb in verbs]

    def _switch(self, request: HttpRequest, object_id: str, *, verb: str) -> HttpResponse:
        """Set the switch by one guarded statement, so that the user is told if somebody else was first."""
        if not is_system_admin(request):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        kind = self.find(request, object_id)
        if kind is None:
            return self.gone(request, object_id)
        name, value, words = SWITCH[verb]
        rows = JobType.primary.filter(pk=kind.pk).exclude(**{name: value})
        if rows.update(**{name: value}):
            self.remember(request, [kind], f"{verb.capitalize()}d." if verb[-1] == "e" else f"{verb.capitalize()}ed.")
            database.once_on_commit(dispatcher.wake)
            self.message_user(request, f"{kind.pk} {words}")
        else:
            self.message_user(request, f"Somebody else was first: {kind.pk} {words}", messages.WARNING)
        return self.go_to(kind.pk)

    def _submit(self, request: HttpRequest, object_id: str) -> HttpResponse:
        if not is_system_admin(request):
            raise PermissionDenied
        kind = self.find(request, object_id)
        if kind is None:
            return self.gone(request, object_id)
        if not submittable(request.user, [kind]):
            self.message_user(request, f"Only code submits {kind.pk}.", messages.WARNING)
            return self.go_to(kind.pk)
        form = SubmissionForm(request, kind, request.POST if request.method == "POST" else None)
        job = form.submit() if form.is_valid() else None
        if job is None:
            title = f"Submit a job: {kind.pk}"
            back = self.url_of("change", kind.pk)
            return self.form_page(request, form, title, [("Type", str(kind))], back_url=back)
        self.remember(request, [job], "Submitted in the admin.", ADDITION)
        self.message_user(request, f"{job.name} was submitted.")
        return HttpResponseRedirect(reverse(f"{self.admin_site.name}:django_jobs_job_change", args=(job.pk,)))
