"""What the buttons of failures do: retry one, retry, cancel or delete all, pause, resume and enable the type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_jobs.admin import failure_operations, held_retries, navigation_counts, type_switches
from django_jobs.admin.base import SeesJobs, address_to_go_back_to, is_system_admin
from django_jobs.admin.capped_counts import CappedCount
from django_jobs.admin.failure_filters import Chosen, chosen_by
from django_jobs.admin.monitor_links import Links
from django_jobs.admin.operation_notices import link_to
from django_jobs.engine.control import operations
from django_jobs.engine.control.acts import retry_job
from django_jobs.engine.control.operations import OperationRequest
from django_jobs.engine.store import database
from django_jobs.exceptions import InvalidOperation, InvalidTransition
from django_jobs.exceptions import PermissionDenied as MayNot
from django_jobs.models import JobType, Operation
from django_jobs.texts import told

RETRY_ONE: Final = "retry_one"
CONFIRMED: Final = "confirmed"
#: Buttons that ask before what nobody can take back: what it is called, and what it means.
ASKING: Final[dict[str, tuple[Callable[[int], str], Any]]] = {
    "cancel_all": (
        lambda count: ngettext(
            "Cancel %(amount)s that waits for its retry", "Cancel %(amount)s that wait for their retry", count
        ),
        gettext_lazy("They end, and are not tried again."),
    ),
    "delete_all": (
        lambda count: ngettext("Delete %(amount)s dead letter", "Delete all %(amount)s dead letters", count),
        gettext_lazy("With their logs and files. This cannot be undone."),
    ),
}
PAUSES: Final = {"pause_type": "pause", "resume_type": "resume", "enable_type": "enable"}


class RateForm(forms.Form):
    """How many jobs a minute; blank for as many as there are, unless the button wants a rate."""

    rate = forms.IntegerField(
        required=False, min_value=1, max_value=failure_operations.MAX_RATE, label=gettext_lazy("Jobs a minute")
    )

    def __init__(self, *args: Any, action: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["rate"].required = action == failure_operations.RETRY_AT_RATE


class FailureActions(SeesJobs):
    """The one address that all buttons post to."""

    @property
    def _links(self) -> Links:
        return Links(self.admin_site.name)

    def _act(self, request: HttpRequest) -> HttpResponse:
        """Do what the pressed button says, tell what became of it, and go back to where the user came from."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        action, chosen = request.POST.get("action", ""), chosen_by(request.user, request.POST.dict())
        if not chosen.job_type:
            text = _("Nothing was done: say which job type is meant.")
            self.message_user(request, text, messages.WARNING, extra_tags="needs_job_type")
        elif not chosen.is_known:
            text = _("Nothing was done: there is no such organization or state, or you may not see it.")
            self.message_user(request, text, messages.WARNING, extra_tags="unknown_choice")
        elif action == RETRY_ONE:
            return self._retry_one(request, chosen)
        elif action in PAUSES:
            self._switch_type(request, chosen.job_type, PAUSES[action])
        elif action in failure_operations.BUTTONS:
            return self._start(request, action, chosen)
        else:
            text = _("Nothing was done: there is no such button.")
            self.message_user(request, text, messages.WARNING, extra_tags="unknown_button")
        return HttpResponseRedirect(self._back(request, chosen))

    def _retry_one(self, request: HttpRequest, chosen: Chosen) -> HttpResponse:
        """Retry the newest job, and show its page, which follows what becomes of it."""
        newest = chosen.filters.rows(request.user).order_by("-pk").first()
        if newest is None:
            self._tell_empty(request)
            return HttpResponseRedirect(self._back(request, chosen))
        try:
            job = retry_job(newest, user=request.user)
        except MayNot as error:
            raise PermissionDenied from error
        except InvalidTransition as error:
            self.message_user(request, told(error), messages.WARNING, extra_tags=error.code)
            return HttpResponseRedirect(self._back(request, chosen))
        page = self._links.page("django_jobs_job_change", job.pk)
        back = self._back(request, chosen) if "next" in request.POST else page
        link = format_html('<a href="{}"><bdi>{}</bdi></a>', page, job.name)
        text, reason = held_retries.retried(request, self._links, job, link, back)
        level = messages.WARNING if reason else messages.INFO
        self.message_user(request, text, level, extra_tags=reason or "retried")
        return HttpResponseRedirect(back)

    def _switch_type(self, request: HttpRequest, job_type: str, verb: str) -> None:
        if not is_system_admin(request):
            raise PermissionDenied
        kind = JobType.primary.filter(pk=job_type).first()
        if kind is None:
            text = _("Nothing was done: there is no job type %(type)s.") % {"type": job_type}
            self.message_user(request, text, messages.WARNING, extra_tags="unknown_job_type")
            return
        text, level, code = type_switches.set_switch(request.user, kind, verb)
        self.message_user(request, text, level, extra_tags=code)

    def _start(self, request: HttpRequest, action: str, chosen: Chosen) -> HttpResponse:
        """Start what goes on in the background, and show its page, which follows how far it comes."""
        back, form = HttpResponseRedirect(self._back(request, chosen)), RateForm(request.POST, action=action)
        if not form.is_valid():
            for text in form.errors["rate"]:
                told_of = _("Jobs a minute: %(problem)s") % {"problem": text}
                self.message_user(request, told_of, messages.ERROR, extra_tags="invalid_rate")
            return back
        asked = failure_operations.request_of(action, chosen, form.cleaned_data["rate"])
        try:
            if action in ASKING and CONFIRMED not in request.POST:
                return self._ask(request, action, asked, back.url)
            started = operations.start_operation(asked, user=request.user)
        except MayNot as error:
            raise PermissionDenied from error
        except InvalidOperation:
            self._tell_empty(request)
            return back
        database.once_on_commit(navigation_counts.forget)
        text = _("Started: {operation}. It goes on in the background.")
        self._tell_of(request, text, started, messages.INFO, "started")
        page = self._links.operation(started.pk)
        there = back if "next" in request.POST or not page else HttpResponseRedirect(page)
        if asked.action == Operation.Action.RETRY:
            waits = held_retries.will_wait(request, self._links, chosen.job_type, there.url)
            if waits is not None:
                text, reason = waits
                self.message_user(request, text, messages.WARNING, extra_tags=reason)
        return there

    def _ask(self, request: HttpRequest, action: str, asked: OperationRequest, back: str) -> HttpResponse:
        """Return the page that asks before it is started, with how many jobs there are now."""
        found = operations.estimate(asked, user=request.user)
        if not found.count and not found.count_capped:
            self._tell_empty(request)
            return HttpResponseRedirect(back)
        words, consequence = ASKING[action]
        title = words(found.count) % {"amount": CappedCount(count=found.count, is_cut=found.count_capped)}
        fields = [(name, value) for name, value in request.POST.items() if name != "csrfmiddlewaretoken"]
        context = {"consequence": consequence, "fields": [*fields, (CONFIRMED, "yes")], "back_url": back}
        return self.page(request, "failures/confirm.html", title, title, **context)

    def _tell_of(self, request: HttpRequest, text: str, operation: Operation, level: int, code: str) -> None:
        link = link_to(self._links, operation, failure_operations.title_of(operation))
        told_of = format_html(text, operation=link, user=operation.user_name)
        self.message_user(request, told_of, level, extra_tags=code)

    def _tell_empty(self, request: HttpRequest) -> None:
        text = _("No such job is left: they were retried, canceled or deleted meanwhile.")
        self.message_user(request, text, messages.WARNING, extra_tags="none_left")

    def _back(self, request: HttpRequest, chosen: Chosen) -> str:
        """Return where the user came from if that is an address of this site, else the page of what was acted on."""
        return address_to_go_back_to(request) or self._links.failures(chosen.job_type)
