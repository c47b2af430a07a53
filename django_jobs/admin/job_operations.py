"""Acting on all jobs that match: buttons on the jobs list, a page that counts and asks, and the operation it starts."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ALL_VAR, ERROR_FLAG, ORDER_VAR, PAGE_VAR
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobs.admin import navigation_counts
from django_jobs.admin.base import View
from django_jobs.admin.formatting import line
from django_jobs.admin.job_list_filter import filter_of
from django_jobs.admin.job_under_way import JobsUnderWay, rate_field
from django_jobs.admin.operation_words import CONSEQUENCES, QUESTIONS, title_of
from django_jobs.engine.control import operations
from django_jobs.engine.control.acts import Action
from django_jobs.engine.control.operations import OperationRequest
from django_jobs.engine.insight.filter import JobFilter
from django_jobs.engine.store import database
from django_jobs.exceptions import InvalidOperation
from django_jobs.exceptions import PermissionDenied as MayNot
from django_jobs.statuses import Priority
from django_jobs.texts import code_of, told

#: The fields of the form, by action, beside the rate.
FIELDS: Final[dict[str, tuple[str, ...]]] = {
    Action.RETRY: ("try_first", "stop_above"),
    Action.RUN_NOW: ("try_first", "stop_above"),
    Action.SET_PRIORITY: ("value",),
}


class OperationForm(forms.Form):
    """How all jobs that match are acted on. The share of failures is in percent here."""

    value = forms.TypedChoiceField(
        label=gettext_lazy("Priority"),
        coerce=int,
        choices=[(priority.value, priority.label) for priority in reversed(Priority)],
        initial=int(Priority.HIGH),
    )
    rate = rate_field()
    try_first = forms.BooleanField(
        label=gettext_lazy("Try one first"),
        required=False,
        help_text=gettext_lazy("The others follow when it has completed. If it fails, the operation pauses."),
    )
    stop_above = forms.FloatField(
        label=gettext_lazy("Stop when more fail than, in percent"),
        required=False,
        min_value=0,
        max_value=100,
        help_text=gettext_lazy("Blank: it does not stop by itself."),
    )
    everything = forms.BooleanField(
        label=gettext_lazy("Nothing narrows the list: yes, all jobs are meant"),
        required=False,
    )

    def __init__(self, *args: Any, action: str, names_all: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        shown = {"rate", *FIELDS.get(action, ()), *(["everything"] if names_all else [])}
        for name in self.fields.keys() - shown:
            del self.fields[name]
        if names_all:
            self.fields["everything"].required = True

    def request(self, action: str, filters: JobFilter) -> OperationRequest:
        """Return what the valid form asks for."""
        given = self.cleaned_data
        share = given.get("stop_above")
        return OperationRequest(
            action=action,
            filters=JobFilter(all=True) if given.get("everything") else filters,
            value=given.get("value"),
            rate=given["rate"],
            stop_above=None if share is None else share / 100,
            try_first=bool(given.get("try_first")),
        )


class JobOperations(JobsUnderWay):
    """The buttons that act on all jobs of the list, and the page that asks."""

    def operation_views(self) -> dict[str, tuple[str, View]]:
        """Return the views of the pages that ask, by name."""
        asking: dict[str, tuple[str, View]] = {
            f"all_{action}": (f"all/{action}/", partial(self._operate, action=action)) for action in Action.values
        }
        return {**asking, **self.notice_views()}

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        context = {"act_on_all": self._all_buttons(request)}
        return super().changelist_view(request, context | (extra_context or {}))

    def offers(self, request: HttpRequest, action: str) -> bool:
        """Return whether the user is offered this action. The engine asks the access policy for each job."""
        raise NotImplementedError

    def _all_buttons(self, request: HttpRequest) -> list[tuple[Any, str]]:
        narrowing = _narrowing(request)
        return [
            (action.label, f"{self.url_of(f'all_{action.value}')}{narrowing}")
            for action in Action
            if self.offers(request, action)
        ]

    def _operate(self, request: HttpRequest, *, action: str) -> HttpResponse:
        """Return the page that counts the jobs and asks, or start the operation that was confirmed."""
        if not self.has_view_permission(request) or not self.offers(request, action):
            raise PermissionDenied
        try:
            jobs: Any = self.get_changelist_instance(request)
        except IncorrectLookupParameters:
            text = _("Nothing can be searched for in this text.")
            self.message_user(request, text, messages.WARNING, extra_tags="unsearchable")
            return HttpResponseRedirect(self.url_of("changelist"))
        filters = filter_of(jobs)
        names_all = filters.is_empty
        given = request.POST if request.method == "POST" else None
        form = OperationForm(given, action=action, names_all=names_all)
        if request.method == "POST" and form.is_valid():
            return self._start(request, form, action, filters)
        asked = JobFilter(all=True) if names_all else filters
        return self._ask(request, form, action, asked)

    def _start(self, request: HttpRequest, form: OperationForm, action: str, filters: JobFilter) -> HttpResponse:
        asked = form.request(action, filters)
        try:
            started = operations.start_operation(asked, user=request.user)
        except MayNot as error:
            return self._refuse(request, error)
        except InvalidOperation as error:
            for texts in error.errors.values():
                self.message_user(request, " ".join(texts), messages.WARNING, extra_tags=code_of(texts[0]))
            return HttpResponseRedirect(self._list(request))
        database.once_on_commit(navigation_counts.forget)
        page = self.links.operation(started.pk)
        if not page:
            text = _("Started: {operation}. It goes on in the background.")
            told_of = format_html(text, operation=line(title_of(started), 120))
            self.message_user(request, told_of, extra_tags="started")
        return HttpResponseRedirect(page or self._list(request))

    def _ask(self, request: HttpRequest, form: OperationForm, action: str, filters: JobFilter) -> HttpResponse:
        value = int(Priority.HIGH) if action == Action.SET_PRIORITY else None
        asked = OperationRequest(action=action, filters=filters, value=value)
        try:
            found = operations.estimate(asked, user=request.user)
        except InvalidOperation:
            found = None
        except MayNot as error:
            return self._refuse(request, error)
        title = QUESTIONS[action]
        return self.page(
            request,
            "job/operate.html",
            title,
            title,
            form=form,
            parts=filters.words(),
            **self.counted(action, found),
            consequence=CONSEQUENCES[action],
            is_severe=action == Action.DELETE,
            label=Action(action).label,
            back_url=self._list(request),
        )

    def _refuse(self, request: HttpRequest, error: MayNot) -> HttpResponse:
        self.message_user(request, told(error), messages.WARNING, extra_tags=error.code)
        return HttpResponseRedirect(self._list(request))

    def _list(self, request: HttpRequest) -> str:
        return f"{self.url_of('changelist')}{_narrowing(request)}"


def _narrowing(request: HttpRequest) -> str:
    """Return what narrows the list, for an address; not the page that one was on, which may be gone by then."""
    query = request.GET.copy()
    for name in (PAGE_VAR, ORDER_VAR, ALL_VAR, ERROR_FLAG):
        query.pop(name, None)
    return f"?{query.urlencode()}" if query else ""
