"""Operations on many jobs: asking for one, the list, the page of one."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable
from typing import Any, Final

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ALL_VAR, ERROR_FLAG, ORDER_VAR, PAGE_VAR, ChangeList
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobs.admin.bar import OpenPages
from django_jobs.admin.jobs import filter_of
from django_jobs.admin.pages import (
    DeclaredList,
    Links,
    News,
    OwnPages,
    SeesJobs,
    Switch,
    bar_numbers,
    keys_of,
    sentence,
    view,
)
from django_jobs.admin.writing import (
    brief_duration,
    colored,
    format_exact,
    format_number,
    line,
    linked,
    moment,
    status_word,
)
from django_jobs.engine.control import operations
from django_jobs.engine.control.acts import JOB_ACTS, Action
from django_jobs.engine.control.operations import (
    MAX_PER_MINUTE,
    OperationRequest,
    ids_seen_by,
    notes_seen_by,
    read_speeds,
    seconds_for,
    seconds_left,
    under_way,
)
from django_jobs.engine.insight.filter import JobFilter, without_secrets
from django_jobs.engine.insight.inspection import leader
from django_jobs.engine.insight.reasons import REASONS, counted
from django_jobs.engine.job_types.masking import hidden_from, sensitive_names
from django_jobs.engine.pausing import set_paused
from django_jobs.engine.scope import scope_of
from django_jobs.engine.store import database
from django_jobs.exceptions import InvalidFilter, InvalidOperation
from django_jobs.exceptions import PermissionDenied as MayNot
from django_jobs.models import Operation
from django_jobs.statuses import TERMINAL, Priority, Status
from django_jobs.texts import code_of, in_clauses, isolated, listed, told

# Operations on many jobs: how far each has come, what became of its jobs, and its buttons.


SWITCHES: Final = {
    "pause": Switch(
        label=gettext_lazy("Pause"),
        code="paused",
        fits=lambda operation: operation.state == Operation.State.RUNNING,
        perform=lambda operation, user: set_paused("operation", operation, True, user=user),
    ),
    "resume": Switch(
        label=gettext_lazy("Resume"),
        code="resumed",
        fits=lambda operation: operation.state == Operation.State.PAUSED,
        perform=lambda operation, user: set_paused("operation", operation, False, user=user),
    ),
    "stop": Switch(
        label=gettext_lazy("Stop"),
        code="stopped",
        fits=lambda operation: operation.is_open,
        perform=lambda operation, user: operations.stop(operation, user=user),
    ),
}


class RateForm(forms.Form):
    """How many jobs a minute; blank for as fast as it goes."""

    rate = forms.IntegerField(
        label=gettext_lazy("Jobs a minute"),
        required=False,
        min_value=1,
        max_value=MAX_PER_MINUTE,
        help_text=gettext_lazy("Blank: as fast as it goes."),
    )


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
    list_filter = ("state", "action")
    fields = ("what", "filter_words", "rate", "limits", "by", "begun", "ended")
    change_form_template = "admin/django_jobs/operation/change_form.html"
    switches = SWITCHES

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return scope_of(request).operations()

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return OperationList

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        operation = super().get_object(request, object_id, from_field)
        if operation is not None:
            operation.pages = OpenPages(request, self.admin_site.name)
            note_organizations([operation], request.user)
        return operation

    @admin.display(description=gettext_lazy("operation"))
    def what(self, operation: Operation) -> SafeString | str:
        """Return what the operation does, and to which jobs, in one line."""
        return line(title_of(operation), 120)

    @admin.display(description=gettext_lazy("jobs"))
    def filter_words(self, operation: Operation) -> SafeString | str:
        """Return the filter in words, a line for each part of it."""
        return format_html_join(mark_safe("<br>"), "{}: {}", told_filter(operation)) or "?"

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
            parts += [_("Try one first"), *self._first_job(operation)]
        if operation.stop_above is not None:
            share = format_exact(100 * operation.stop_above)
            parts.append(f"{_('Stop when more fail than, in percent')}: {share}")
        return format_html_join(mark_safe("<br>"), "{}", ((part,) for part in parts)) or "-"

    def _first_job(self, operation: Any) -> list[SafeString | str]:
        """Return the job that is tried first, once it is known and while it is there for the reader."""
        found = operation.pages.scope.jobs().filter(pk=operation.first_job_id or 0).first()
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
            title = capfirst(_("operation %(number)s")) % {"number": operation.pk}
            note = notes_seen_by(request.user, [operation])[operation.pk]
            context |= {"title": title, "subtitle": None, **progress_of(operation, note)}
            context["switches"] = self.offered(request, operation)
            context["jobs_url"] = self.links.jobs(operation=operation.pk)
            context["rate_url"] = self.url_of("rate", operation.pk) if operation.is_open else ""
            context["rate_form"] = RateForm(initial={"rate": operation.per_minute})
            context["is_waiting"] = operation.is_open and not leader(database.now()).is_alive
            context["news"] = news_of(operation, note, is_waiting=context["is_waiting"])
            context["no_scheduler"] = REASONS["no_scheduler"].long
        return super().render_change_form(request, context, *args, **kwargs)

    @view("<path:object_id>/rate/", "rate", post_only=True)
    def _set_rate(self, request: HttpRequest, operation: Operation) -> HttpResponse:
        """Let the operation go on at the rate of the form."""
        form = RateForm(request.POST)
        if not form.is_valid():
            text = " ".join(map(str, form.errors["rate"]))
            self.message_user(request, text, messages.ERROR, extra_tags="invalid_rate")
        else:
            rate = form.cleaned_data["rate"]
            button = Switch(
                label=_("Change the rate"),
                code="rate_changed",
                perform=lambda row, user: operations.set_rate(row, rate, user=user),
            )
            self.switch(request, operation, button)
        return self.go_to(operation.pk)


# Acting on all jobs that match: buttons on the jobs list, a page that counts and asks, and the operation it starts.


def priority_field() -> forms.TypedChoiceField:
    """Return the field in which somebody chooses the priority that jobs get."""
    return forms.TypedChoiceField(
        label=capfirst(gettext_lazy("priority")),
        coerce=int,
        choices=[(priority.value, priority.label) for priority in reversed(Priority)],
        initial=int(Priority.HIGH),
    )


class OperationForm(RateForm):
    """How all jobs that match are acted on. The share of failures is in percent here."""

    field_order = ("value", "rate")
    value = priority_field()
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
        act, hidden = JOB_ACTS[action], set() if names_all else {"everything"}
        hidden |= set() if act.runs else {"try_first", "stop_above"}
        hidden |= set() if act.takes_priority else {"value"}
        for name in hidden:
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


class JobOperations(OwnPages):
    """The buttons that act on all jobs of the list, the page that asks, and what the list tells of operations."""

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        context = {
            "act_on_all": self._all_buttons(request),
            "under_way": read_under_way(request.user, self.links),
            **(extra_context or {}),
        }
        return super().changelist_view(request, context)

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

    @view("all/{verb}/", "all_{verb}", verbs=Action.values)
    def _operate(self, request: HttpRequest, *, verb: str) -> HttpResponse:
        """Return the page that counts the jobs and asks, or start the operation that was confirmed."""
        action = verb
        if not self.offers(request, action):
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
        database.once_on_commit(bar_numbers.clear)
        return HttpResponseRedirect(self.links.change("operation", started.pk))

    def _ask(self, request: HttpRequest, form: OperationForm, action: str, filters: JobFilter) -> HttpResponse:
        value = int(Priority.HIGH) if JOB_ACTS[action].takes_priority else None
        asked = OperationRequest(action=action, filters=filters, value=value)
        try:
            found = operations.estimate(asked, user=request.user)
        except InvalidOperation:
            found = None
        except MayNot as error:
            return self._refuse(request, error)
        title = _("%(act)s: %(name)s?") % {"act": Action(action).label, "name": _("all jobs")}
        return self.page(
            request,
            "job/operate.html",
            title,
            title,
            form=form,
            parts=filters.words(),
            **self.counted(action, found),
            consequence=JOB_ACTS[action].consequence,
            is_severe=action == Action.DELETE,
            label=Action(action).label,
            back_url=self._list(request),
        )

    def _refuse(self, request: HttpRequest, error: MayNot) -> HttpResponse:
        self.message_user(request, told(error), messages.WARNING, extra_tags=error.code)
        return HttpResponseRedirect(self._list(request))

    def _list(self, request: HttpRequest) -> str:
        return f"{self.url_of('changelist')}{_narrowing(request)}"

    @view("under-way/", "under_way")
    def _tell_under_way(self, request: HttpRequest) -> HttpResponse:
        """Return the part that tells of operations."""
        context = {"under_way": read_under_way(request.user, self.links)}
        return TemplateResponse(request, "admin/django_jobs/job/under_way.html", context)

    @view("all/time/", "all_time")
    def _tell_time(self, request: HttpRequest) -> HttpResponse:
        """Return how long an operation takes at the rate that somebody types."""
        action, count = request.GET.get("action", ""), keys_of([request.GET.get("count", "")])
        if action not in Action.values or not count:
            raise Http404
        try:
            rate = RateForm.base_fields["rate"].clean(request.GET.get("rate", ""))
        except ValidationError as error:
            return JsonResponse({"code": error.error_list[0].code, "text": " ".join(error.messages)})
        code, text = time_told(action, count[0], is_capped="is_capped" in request.GET, rate=rate)
        return JsonResponse({"code": code, "text": text})

    def counted(self, action: str, found: operations.Estimate | None) -> dict[str, Any]:
        """Return how many jobs are meant and how long it takes, for the page that asks; a count of None means none."""
        if found is None:
            return {"count": None}
        code, text = time_told(action, found.count, is_capped=found.count_capped, rate=None)
        query = {"action": action, "count": str(found.count), **({"is_capped": "1"} if found.count_capped else {})}
        return {
            "number": found.count,
            "count": format_number(found.count),
            "is_capped": found.count_capped,
            "time_code": code,
            "time": text,
            "time_url": f"{self.url_of('all_time')}?{urlencode(query)}",
        }


def _narrowing(request: HttpRequest) -> str:
    """Return what narrows the list, for an address; not the page that one was on, which may be gone by then."""
    query = request.GET.copy()
    for name in (PAGE_VAR, ORDER_VAR, ALL_VAR, ERROR_FLAG):
        query.pop(name, None)
    return f"?{query.urlencode()}" if query else ""


# What an operation does, how far it has come and what became of its jobs, in words.


_IDS: Final = "organization_ids"
_HIDDEN: Final = "hidden_names"

COLORS: Final = {"running": "running", "paused": "timed-out", "stopped": "canceled", "done": "completed"}


def progress_of(operation: Operation, note: str) -> dict[str, Any]:
    """Return how far the operation has come, for its page; ``note`` is what the reader may know of its note."""
    seen = operation.changed + operation.refusals
    total = max(operation.total, seen)
    seconds = seconds_left(operation, read_speeds()[operation.action]) if operation.is_open else None
    return {
        "state_badge": state_badge(operation),
        "reason": reason_words(operation, note),
        "seen": seen,
        "total": total,
        "total_text": counted(total, has_more=operation.has_more),
        "time_left": brief_duration(seconds) if seconds else "",
        "outcome": outcome_words(operation),
        "refused": refusal_words(operation),
    }


def note_organizations(found: Collection[Operation], user: Any) -> None:
    """Note on each the ids of the organizations that all their filters name, for their titles, and what these mask.

    They are read in one statement. One that this user may not know of any more is told by its key.
    """
    ids = ids_seen_by(user, {pk for item in found for pk in _organizations(item)})
    for item in found:
        item.__dict__ |= {_IDS: ids, _HIDDEN: hidden_from(user)}


def _organizations(operation: Operation) -> tuple[Any, ...]:
    try:
        return JobFilter.from_json(operation.filters).organization or ()
    except InvalidFilter:
        return ()


def told_filter(operation: Operation) -> list[tuple[str, str]]:
    """Return the filter as labels and values; nothing where this release cannot read it.

    Call :func:`note_organizations` first for many of them, and where the reader may not know of all organizations.
    """
    known = operation.__dict__
    try:
        filters = without_secrets(JobFilter.from_json(operation.filters), known.get(_HIDDEN, sensitive_names()))
    except InvalidFilter:
        return []
    return filters.words(known.get(_IDS))


def title_of(operation: Operation) -> str:
    """Return what the operation does and to which jobs in one line, as :func:`told_filter` knows these."""
    parts = listed(f"{name}: {isolated(value)}" for name, value in told_filter(operation)) or "?"
    value = "" if operation.value is None else Priority(operation.value).label
    act = f"{operation.get_action_display()} ({value})" if value else operation.get_action_display()
    return _("%(act)s: %(jobs)s") % {"act": act, "jobs": parts}


def state_badge(operation: Operation) -> SafeString:
    """Return an operation's state as a colored word."""
    return colored(operation.get_state_display(), COLORS[operation.state])


def amount_words(operation: Operation) -> str:
    """Return how many jobs were changed, of how many."""
    total = counted(operation.total, has_more=operation.has_more)
    return _("%(count)s of %(most)s") % {"count": counted(operation.changed), "most": total}


def rate_words(operation: Operation) -> str:
    """Return at which rate the operation goes."""
    rate = operation.per_minute
    if rate is None:
        return _("as fast as it goes")
    return _("%(count)s a minute") % {"count": counted(rate)}


def reason_words(operation: Operation, note: str) -> str:
    """Return why the engine paused or stopped it; blank where a person did.

    ``note`` is what the reader may know of its note.
    """
    known = dict(Operation.Reason.choices)
    parts = [str(known.get(operation.reason, operation.reason)), note]
    return " ".join(part for part in parts if part)


def refusal_words(operation: Operation) -> list[tuple[int, str]]:
    """Return how many jobs were left as they are, and why, the most frequent reason first."""
    known = dict(Operation.Refusal.choices)
    return [
        (count, str(known.get(reason, reason)))
        for reason, count in sorted(operation.refused.items(), key=lambda item: -item[1])
    ]


def outcome_words(operation: Operation) -> str:
    """Return what became of the jobs, such as "Retry: 2,956; Completed: 2,801; Dead Letter: 155"."""
    done = _("%(act)s: %(jobs)s") % {"act": operation.get_action_display(), "jobs": counted(operation.changed)}
    return in_clauses([done, *_parts(operation)])


def news_of(operation: Operation, note: str, *, is_waiting: bool) -> News:
    """Return how far it is, how many of its jobs died again, and why it holds or ended by itself.

    ``is_waiting``: the scheduler, which works it off, is silent.
    """
    died = operation.outcome.get(Status.DEAD_LETTER, 0) if JOB_ACTS[operation.action].runs else 0
    facts = [str(operation.get_state_display()), amount_words(operation)]
    facts += [f"{_('failed')}: {counted(died)}"] if died else []
    told = f"{capfirst(_('operation %(number)s') % {'number': operation.pk})}: {listed(facts)}"
    silence = str(REASONS["no_scheduler"].long) if is_waiting else ""
    return News(
        text=sentence(told, reason_words(operation, note), silence),
        state=f"{operation.state} {operation.reason} {is_waiting}",
    )


def _parts(operation: Operation) -> list[str]:
    if not JOB_ACTS[operation.action].runs and not operation.asked:
        return []
    outcome = operation.outcome
    # Of many jobs not all are looked at.
    has_more = sum(outcome.values()) < operation.changed
    found = [(status_word(status), outcome.get(status, 0)) for status in Status if status in TERMINAL]
    found += [(_("under way"), sum(count for status, count in outcome.items() if status not in TERMINAL))]
    return [f"{word}: {counted(count, has_more=has_more)}" for word, count in found if count]


# Operations that are under way, as other pages tell of them.


#: Operations that a page lists; of the others it tells how many they are.
LISTED: Final = 20
MAX_NOTICES: Final = 3
#: Characters of a title.
TITLE: Final = 120

#: What a page says of one: title, address, how far it is, state, by whom.
Row = tuple[Any, str, str, Any, str]


def rows_of(links: Links, found: Iterable[Operation], user: Any) -> list[Row]:
    """Return what a page says to this user of the first of these operations."""
    shown = list(itertools.islice(found, LISTED))
    note_organizations(shown, user)
    return [
        (
            line(title_of(item), TITLE),
            links.change("operation", item.pk),
            outcome_words(item) if item.ended_at else amount_words(item),
            state_badge(item),
            item.user_name,
        )
        for item in shown
    ]


def link_to(links: Links, operation: Operation, title: str) -> SafeString:
    """Return a link to an operation's page."""
    return format_html('<a href="{}"><bdi>{}</bdi></a>', links.change("operation", operation.pk), title)


def read_under_way(user: Any, links: Links) -> dict[str, Any] | None:
    """Return what a page says of the operations that are under way; None where there is none."""
    found = under_way(user)
    if not found:
        return None
    return {
        "rows": rows_of(links, found[:MAX_NOTICES], user),
        "more": len(found[MAX_NOTICES:]),
        "url": links.list("operation"),
    }


# How long an operation will take, in words, before it is started.


def time_told(action: str, count: int, *, is_capped: bool, rate: int | None) -> tuple[str, str]:
    """Return how long it takes to do this to so many jobs, at a rate in jobs a minute; None: as fast as it goes.

    ``is_capped`` says that there may be more jobs. The code says by what it goes; the words follow it.
    """
    speed = read_speeds()[action]
    suffix, plus = ("_at_least", "+") if is_capped else ("", "")
    time = {"time": f"{brief_duration(max(1.0, seconds_for(count, speed, rate)))}{plus}"}
    if rate is not None and rate / 60 < speed:
        return f"rate{suffix}", _("At this rate that takes about %(time)s.") % time
    return f"full_speed{suffix}", _("That takes about %(time)s where nothing slows it down.") % time
