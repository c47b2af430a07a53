"""Job types: their settings, the buttons that pause and disable them, and the form that tries one."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import ADDITION
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_jobs.admin import type_switches
from django_jobs.admin.base import SystemAdminWrites, View, is_system_admin
from django_jobs.admin.durations import format_duration
from django_jobs.admin.facts import without
from django_jobs.admin.formatting import NOTHING, line, type_title
from django_jobs.admin.job_type_day import read_day
from django_jobs.admin.job_type_flow import BreakerPage, read_flow
from django_jobs.admin.job_type_form import LIMITS, JobTypeForm, changed_values, retry_schedule, total_delay
from django_jobs.admin.monitor_links import Links
from django_jobs.admin.submission_form import SubmissionForm
from django_jobs.engine.control import switches
from django_jobs.engine.insight.inspection import has_jobs
from django_jobs.engine.insight.problems import unknown_permissions
from django_jobs.engine.job_types.types import RETRY_FIELDS
from django_jobs.engine.submission.targets import submittable
from django_jobs.models import JobType
from django_jobs.models.job_type import MAX_RETRIES
from django_jobs.statuses import Priority


@admin.register(JobType)
class JobTypeAdmin(JobTypeForm, BreakerPage, SystemAdminWrites):
    """The list of job types, and the page of one with its last 24 hours."""

    list_display = ("type_name", "title", "state", "handler", "urgency", "time_limit", "max_retries", "pool")
    list_filter = ("is_enabled", "is_paused", "pool")
    search_fields = ("type_name", "display_name", "handler_method")
    search_help_text = gettext_lazy("A part of the name, or of the handler's path.")
    ordering = ("type_name",)
    sortable_by = ("type_name", "max_retries", "pool")
    fieldsets = (
        (None, {"fields": ("type_name", "display_name", "description", "handler_method")}),
        (gettext_lazy("What its jobs get"), {"fields": ("default_priority", "default_timeout")}),
        (gettext_lazy("Who may submit it"), {"fields": ("submit_by", "requires_permission")}),
        (gettext_lazy("Retries"), {"fields": (*RETRY_FIELDS, "schedule")}),
        *LIMITS,
        (gettext_lazy("State"), {"fields": ("is_enabled", "is_paused")}),
    )
    change_form_template = "admin/django_jobs/jobtype/change_form.html"

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        # The name is the primary key: saving another one would make another type.
        return ("type_name", "schedule") if obj is not None else ("schedule",)

    def get_list_display(self, request: HttpRequest) -> Any:
        """Return the columns. The paths of handlers are for system admins."""
        return [name for name in self.list_display if name != "handler" or is_system_admin(request)]

    def get_search_fields(self, request: HttpRequest) -> Any:
        return [name for name in self.search_fields if name != "handler_method" or is_system_admin(request)]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        hidden = () if is_system_admin(request) else ("handler_method",)
        return [(title, {**options, "fields": without(options["fields"], hidden)}) for title, options in self.fieldsets]

    def own_views(self) -> dict[str, tuple[str, View]]:
        """Return the views of the buttons and of the form that submits a job, by name."""
        switches = {
            verb: (f"<path:object_id>/{verb}/", partial(self._switch, verb=verb)) for verb in type_switches.SWITCHES
        }
        return {
            **switches,
            "close_breaker": ("<path:object_id>/close-breaker/", self._close_breaker),
            "submit": ("<path:object_id>/submit/", self._submit),
        }

    @admin.display(description=gettext_lazy("name"), ordering="display_name")
    def title(self, kind: JobType) -> SafeString | str:
        """Return the display name."""
        return line(type_title(kind) if kind.display_name else "", 60)

    @admin.display(description=gettext_lazy("state"))
    def state(self, kind: JobType) -> SafeString:
        """Return whether the type is enabled, disabled or paused."""
        words, name = (_("enabled"), "completed")
        if not kind.is_enabled:
            words, name = (_("disabled"), "canceled")
        elif kind.is_paused:
            words, name = (_("paused"), "timed-out")
        return format_html('<span class="djobs-badge djobs-{}">{}</span>', name, words)

    @admin.display(description=gettext_lazy("handler"), ordering="handler_method")
    def handler(self, kind: JobType) -> SafeString | str:
        """Return the dotted path of the handler."""
        return line(kind.handler_method, 60)

    @admin.display(description=gettext_lazy("priority"), ordering="default_priority")
    def urgency(self, kind: JobType) -> str:
        """Return the label of the default priority."""
        return str(Priority(kind.default_priority).label)

    @admin.display(description=gettext_lazy("time limit"), ordering="default_timeout")
    def time_limit(self, kind: JobType) -> str:
        """Return the default time limit."""
        return format_duration(kind.default_timeout)

    @admin.display(description=gettext_lazy("schedule of retries"))
    def schedule(self, kind: JobType) -> SafeString | str:
        """Return the delays before the retries, as a list."""
        if not kind.max_retries:
            return _("No retry: a failure makes it a Dead Letter.")
        if kind.max_retries > MAX_RETRIES:  # a form that is refused: so many delays are not added up
            return NOTHING
        delays = retry_schedule(kind)
        steps = format_html_join("", "<li><bdi>{}</bdi></li>", ((delay,) for delay in delays))
        left = kind.max_retries - len(delays)
        more = ngettext("And %(count)d more.", "And %(count)d more.", left) % {"count": left} if left else ""
        last = _(
            "The last one is %(duration)s after the first failure, the runs not counted; then it is a Dead Letter. "
            "As saved; each delay varies a little."
        ) % {"duration": total_delay(kind)}
        return format_html('<ol class="djobs-schedule">{}</ol>{} {}', steps, more, last)

    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm[Any], change: bool) -> None:
        if "requires_permission" in form.changed_data and unknown_permissions([obj.requires_permission]):
            text = _("There is no permission %(permission)s: only system admins and code may submit jobs of this type.")
            text %= {"permission": obj.requires_permission}
            self.message_user(request, text, messages.WARNING, extra_tags="unknown_permission")
        if not change:
            super().save_model(request, obj, form, change)
            return
        values = changed_values(form)
        stored = JobType.primary.get(pk=obj.pk)
        switches.write_type(obj, values.keys())
        for item in type_switches.SWITCHES.values():
            is_old = item.field not in values and getattr(obj, item.field) != item.value
            if is_old and getattr(stored, item.field) == item.value:
                text = type_switches.in_words(item.told_meanwhile, obj)
                self.message_user(request, text, messages.WARNING, extra_tags=f"{item.code}_meanwhile")

    def get_deleted_objects(self, objs: Iterable[Any], request: HttpRequest) -> Any:
        """Tell that a type with jobs is protected. Django's own collector would load every job to find out."""
        types = list(objs)
        in_use = [kind for kind in types if has_jobs(job_type=kind)]
        protected = [_("%(type)s has jobs; disable it instead.") % {"type": kind.type_name} for kind in in_use]
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
            links = Links(self.admin_site.name)
            context |= {"failures_url": links.failures(kind.pk), "jobs_url": links.jobs_of_type(kind.pk)}
        return super().render_change_form(request, context, *args, **kwargs)

    def _buttons(self, kind: JobType) -> list[tuple[str, str]]:
        verbs = ["resume" if kind.is_paused else "pause", "disable" if kind.is_enabled else "enable"]
        return [(str(type_switches.SWITCHES[verb].label), self.url_of(verb, kind.pk)) for verb in verbs]

    def _switch(self, request: HttpRequest, object_id: str, *, verb: str) -> HttpResponse:
        """Set the switch, and tell what became of it."""
        if not is_system_admin(request):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        kind = self.find(request, object_id)
        if kind is None:
            return self.gone(request, object_id)
        text, level, code = type_switches.set_switch(request.user, kind, verb)
        self.message_user(request, text, level, extra_tags=code)
        return self.go_to(kind.pk)

    def _submit(self, request: HttpRequest, object_id: str) -> HttpResponse:
        if not is_system_admin(request):
            raise PermissionDenied
        kind = self.find(request, object_id)
        if kind is None:
            return self.gone(request, object_id)
        if not submittable(request.user, [kind]):
            text = _("Only code submits %(type)s.") % {"type": kind.pk}
            self.message_user(request, text, messages.WARNING, extra_tags="code_only")
            return self.go_to(kind.pk)
        form = SubmissionForm(request, kind, request.POST if request.method == "POST" else None)
        job = form.submit() if form.is_valid() else None
        if job is None:
            title = _("Submit a job: %(type)s") % {"type": kind.pk}
            back = self.url_of("change", kind.pk)
            return self.form_page(request, form, title, [(_("Type"), type_title(kind))], back_url=back)
        self.remember(request, [job], "Submitted in the admin.", ADDITION)
        self.message_user(request, _("%(job)s was submitted.") % {"job": job.name}, extra_tags="submitted")
        return HttpResponseRedirect(reverse(f"{self.admin_site.name}:django_jobs_job_change", args=(job.pk,)))
