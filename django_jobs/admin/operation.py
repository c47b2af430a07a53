"""Operations on many jobs: how far each has come, what became of its jobs, and its buttons."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobs.admin import navigation_counts
from django_jobs.admin.base import SeesJobs, View
from django_jobs.admin.formatting import line, linked, moment
from django_jobs.admin.lookups import DeclaredList
from django_jobs.admin.monitor_links import Links
from django_jobs.admin.numbers import format_exact, format_number
from django_jobs.admin.open_pages import OpenPages
from django_jobs.admin.operation_filter_words import linked_words
from django_jobs.admin.operation_words import (
    amount_words,
    news_of,
    note_organizations,
    outcome_words,
    progress_of,
    rate_words,
    reason_words,
    refusal_words,
    state_badge,
    title_of,
)
from django_jobs.engine.control import operations
from django_jobs.engine.control.operations import MAX_PER_MINUTE, notes_seen_by
from django_jobs.engine.insight.inspection import leader
from django_jobs.engine.store import database
from django_jobs.models import Job, Operation


class Switch:
    """A button: what it does, its words, and the code and the text of what is said when it was done."""

    def __init__(self, act: Callable[..., bool], label: Any, code: str, told: Any) -> None:
        self.act, self.label, self.code, self.told = act, label, code, told


SWITCHES: Final = {
    "pause": Switch(operations.pause, gettext_lazy("Pause"), "paused", gettext_lazy("The operation is paused.")),
    "resume": Switch(operations.resume, gettext_lazy("Resume"), "resumed", gettext_lazy("The operation goes on.")),
    "stop": Switch(operations.stop, gettext_lazy("Stop"), "stopped", gettext_lazy("The operation is stopped.")),
}


class RateForm(forms.Form):
    """How many jobs a minute; blank for as fast as it goes."""

    rate = forms.IntegerField(
        label=gettext_lazy("Jobs a minute"), required=False, min_value=1, max_value=MAX_PER_MINUTE
    )


class Titled(admin.ChoicesFieldListFilter):
    """A filter by a field whose title is translated: a model's own names of fields are not."""

    words: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = self.words

    @classmethod
    def by(cls, words: Any) -> type[Titled]:
        """Return a filter of this title."""
        return type(cls.__name__, (cls,), {"words": words})


class OperationList(DeclaredList):
    """A page of operations. The organizations that their titles name are read in one statement for all of them."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        note_organizations(self.result_list, request.user)


@admin.register(Operation)
class OperationAdmin(SeesJobs):
    """The list of operations, and the page of one."""

    list_display = ("id", "what", "progress", "condition", "by", "begun")
    list_display_links = ("id", "what")
    list_filter = (("state", Titled.by(gettext_lazy("state"))), ("action", Titled.by(gettext_lazy("action"))))
    fields = ("what", "filter_words", "rate", "limits", "by", "begun", "ended")
    change_form_template = "admin/django_jobs/operation/change_form.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return operations.operations_seen_by(request.user)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return OperationList

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        operation = super().get_object(request, object_id, from_field)
        if operation is not None:
            operation.pages = OpenPages(request, self.admin_site.name)
            note_organizations([operation], request.user)
        return operation

    def own_views(self) -> dict[str, tuple[str, View]]:
        """Return the views of the buttons, by name."""
        found: dict[str, tuple[str, View]] = {
            verb: (f"<path:object_id>/{verb}/", partial(self._switch, verb=verb)) for verb in SWITCHES
        }
        return {**found, "rate": ("<path:object_id>/rate/", self._set_rate)}

    @admin.display(description=gettext_lazy("operation"))
    def what(self, operation: Operation) -> SafeString | str:
        """Return what the operation does, and to which jobs, in one line."""
        return line(title_of(operation), 120)

    @admin.display(description=gettext_lazy("jobs"))
    def filter_words(self, operation: Any) -> SafeString | str:
        """Return the filter in words, a line for each part of it, with links to what it names."""
        return linked_words(operation, operation.pages)

    @admin.display(description=gettext_lazy("progress"))
    def progress(self, operation: Operation) -> str:
        """Return how many jobs were changed, of how many."""
        return amount_words(operation)

    @admin.display(description=gettext_lazy("state"))
    def condition(self, operation: Operation) -> SafeString:
        """Return the state as a colored word."""
        return state_badge(operation)

    @admin.display(description=gettext_lazy("started by"))
    def by(self, operation: Operation) -> SafeString | str:
        """Return who started the operation."""
        return line(operation.user_name, 60)

    @admin.display(description=gettext_lazy("rate"))
    def rate(self, operation: Operation) -> str:
        """Return how many jobs are changed in a minute."""
        return rate_words(operation)

    @admin.display(description=gettext_lazy("care"))
    def limits(self, operation: Operation) -> SafeString | str:
        """Return whether one job is tried first, which, and above which share of failures it stops."""
        parts: list[SafeString | str] = []
        if operation.tries_one_first:
            parts += [_("One job is tried first."), *self._first_job(operation)]
        if operation.stop_above is not None:
            share = format_exact(100 * operation.stop_above)
            parts.append(_("It stops when more than %(share)s %% fail.") % {"share": share})
        return format_html_join(" ", "{}", ((part,) for part in parts)) or "-"

    def _first_job(self, operation: Any) -> list[SafeString | str]:
        """Return the job that is tried first, once it is known and while it is there for the reader."""
        found = Job.primary.visible_to(operation.pages.user).filter(pk=operation.first_job_id or 0).first()
        return [] if found is None else [linked(operation.pages.job(found), found.name)]

    @admin.display(description=gettext_lazy("started"))
    def begun(self, operation: Operation) -> SafeString | str:
        """Return when the operation was started."""
        return moment(operation.started_at)

    @admin.display(description=gettext_lazy("ended"))
    def ended(self, operation: Operation) -> SafeString | str:
        """Return when the operation ended."""
        return moment(operation.ended_at)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        operation = context["original"]
        if operation is not None:
            title = _("Operation %(number)s") % {"number": operation.pk}
            note = notes_seen_by(request.user, [operation])[operation.pk]
            context |= {"title": title, "subtitle": None, **describe(operation, note)}
            context["switches"] = [(SWITCHES[name].label, self.url_of(name, operation.pk)) for name in _open(operation)]
            context["jobs_url"] = Links(self.admin_site.name).jobs_of_operation(operation.pk)
            context["rate_url"] = self.url_of("rate", operation.pk) if operation.is_open else ""
            context["rate_form"] = RateForm(initial={"rate": operation.per_minute})
            context["is_waiting"] = operation.is_open and not leader(database.now()).is_alive
            context["news"] = news_of(operation, note, is_waiting=context["is_waiting"])
        return super().render_change_form(request, context, *args, **kwargs)

    def _set_rate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Let the operation go on at the rate of the form."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        operation = self.find(request, object_id)
        if operation is None:
            return self.gone(request, object_id)
        form = RateForm(request.POST)
        if not form.is_valid():
            text = " ".join(map(str, form.errors["rate"]))
            self.message_user(request, text, messages.ERROR, extra_tags="invalid_rate")
        elif operations.set_rate(operation, form.cleaned_data["rate"], user=request.user):
            self.message_user(request, _("The rate is changed."), extra_tags="rate_changed")
        else:
            text = _("Nothing was changed: the operation is over.")
            self.message_user(request, text, messages.WARNING, extra_tags="over")
        return self.go_to(operation.pk)

    def _switch(self, request: HttpRequest, object_id: str, *, verb: str) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        operation = self.find(request, object_id)
        if operation is None:
            return self.gone(request, object_id)
        switch = SWITCHES[verb]
        if switch.act(operation, user=request.user):
            database.once_on_commit(navigation_counts.forget)
            self.message_user(request, str(switch.told), extra_tags=switch.code)
        else:
            text = _("Nothing was changed: the operation is in the state “%(state)s” already.")
            text %= {"state": operation.get_state_display()}
            self.message_user(request, text, messages.WARNING, extra_tags=f"already_{operation.state}")
        return self.go_to(operation.pk)


def _open(operation: Operation) -> list[str]:
    """Return the names of the buttons that do something now."""
    if not operation.is_open:
        return []
    return ["pause" if operation.state == Operation.State.RUNNING else "resume", "stop"]


def describe(operation: Operation, note: str) -> dict[str, Any]:
    """Return how far the operation has come, as values for the template; ``note`` is what the reader may know of it."""
    progress = progress_of(operation)
    return {
        "state_badge": state_badge(operation),
        "reason": reason_words(operation, note),
        "progress": progress,
        "seen_text": format_number(progress.seen),
        "total_text": format_number(progress.total),
        "outcome": outcome_words(operation),
        "refused": refusal_words(operation),
    }
