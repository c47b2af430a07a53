"""What people do to jobs: to chosen ones in the list, and to one on its page."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.functional import lazy
from django.utils.html import format_html, format_html_join
from django.utils.text import capfirst, format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobs.admin.jobs import LARGE, MAX_ROWS, csv_of
from django_jobs.admin.operations import JobOperations, priority_field
from django_jobs.admin.pages import CONFIRMED, is_system_admin, keys_of, view
from django_jobs.admin.writing import badge, format_number
from django_jobs.engine.control.acts import ASKED, JOB_ACTS, REFUSED, UNKNOWN, Action, ActOutcome, act, is_offered
from django_jobs.engine.scope import scope_of
from django_jobs.exceptions import InvalidTransition, JobsError
from django_jobs.exceptions import PermissionDenied as NotPermitted
from django_jobs.models import Job
from django_jobs.statuses import Priority
from django_jobs.texts import listed, told, translated

#: Jobs that one request changes.
MAX_AT_ONCE: Final = 500
#: Jobs that a page that asks names, and that a message names.
MAX_SHOWN: Final = 10
MAX_NAMED: Final = 5
EXPORT: Final[Any] = format_lazy(
    gettext_lazy("Export selected jobs as CSV (at most {count})"), count=lazy(format_number, str)(MAX_ROWS)
)
SELECTED: Final = gettext_lazy("{act}: selected jobs")


class PriorityForm(forms.Form):
    """The priority that jobs get."""

    value = priority_field()


def _action_of(name: str) -> Callable[..., Any]:
    """Return the action of the list that does this to chosen jobs."""

    def run(model_admin: Any, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        answer: HttpResponse = model_admin.act_on_list(request, queryset, name)
        return answer

    run.__name__ = f"{name}_jobs"
    permission = "remove" if name == Action.DELETE else "act"
    description: Any = format_lazy(SELECTED, act=Action(name).label)
    return admin.action(run, permissions=[permission], description=description)


class JobActions(JobOperations):
    """The actions of the list and the buttons of a job's page.

    A permission here only offers an action. The engine asks the access policy for each job.
    """

    actions = (*map(_action_of, JOB_ACTS), "export_jobs")

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Return whether the user is offered to cancel, retry and export jobs: whoever sees them is."""
        return self.has_view_permission(request)

    def has_remove_permission(self, request: HttpRequest) -> bool:
        """Return whether the user is offered to delete jobs: system admins are, and staff with Django's permission for
        it.
        """
        user: Any = request.user
        return is_system_admin(request) or bool(
            self.has_view_permission(request) and user.has_perm("django_jobs.delete_job")
        )

    def offers(self, request: HttpRequest, action: str) -> bool:
        """Return whether the user is offered to do this to all jobs that match."""
        return self.has_remove_permission(request) if action == Action.DELETE else self.has_act_permission(request)

    @admin.action(description=EXPORT, permissions=["act"])
    def export_jobs(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """Return the chosen jobs as a CSV file."""
        return csv_of(request, queryset)

    def act_buttons(self, request: HttpRequest, job: Job) -> list[tuple[Any, str]]:
        """Return what this user may do to this job now: the words and the address of each button."""
        scope, is_stopping = scope_of(request), job.cancel_requested_at is not None
        return [
            (Action(name).label, self.url_of(name, job.pk))
            for name, item in JOB_ACTS.items()
            if item.is_for_one
            and is_offered(name, job.status, is_stopping=is_stopping)
            and scope.may(item.question, job)
        ]

    @view(
        "<path:object_id>/{verb}/",
        "{verb}",
        right="act",
        verbs=[name for name in JOB_ACTS if JOB_ACTS[name].is_for_one],
    )
    def _act_on_one(self, request: HttpRequest, job: Job, *, verb: str) -> HttpResponse:
        if request.method != "POST":
            return self._confirm(request, verb, [job], self.url_of("change", job.pk))
        self._perform(request, verb, [job.pk])
        return self.go_to(job.pk)

    def act_on_list(self, request: HttpRequest, queryset: QuerySet[Any], name: str) -> HttpResponse:
        """Return the page that asks before it is done to chosen jobs, or do what was confirmed."""
        if request.POST.get(CONFIRMED):
            # The jobs that were confirmed may no longer match the list's filters.
            self._perform(request, name, keys_of(request.POST.getlist(ACTION_CHECKBOX_NAME)))
            return HttpResponseRedirect(request.get_full_path())
        jobs = list(queryset.defer(*LARGE)[: MAX_AT_ONCE + 1])
        if len(jobs) > MAX_AT_ONCE:  # all that match were chosen: too many for one request
            query = request.GET.urlencode()
            return HttpResponseRedirect(f"{self.url_of(f'all_{name}')}{'?' if query else ''}{query}")
        hidden = [(ACTION_CHECKBOX_NAME, job.pk) for job in jobs]
        hidden += [("action", f"{name}_jobs"), ("select_across", "0")]
        return self._confirm(request, name, jobs, request.get_full_path(), hidden)

    def _confirm(
        self, request: HttpRequest, name: str, jobs: list[Job], back_url: str, hidden: Sequence[tuple[str, Any]] = ()
    ) -> HttpResponse:
        """Return the page that says what would happen."""
        offered = [is_offered(name, job.status, is_stopping=job.cancel_requested_at is not None) for job in jobs]
        left = Counter(job.status for job, is_fitting in zip(jobs, offered, strict=True) if not is_fitting)
        others = format_html_join(", ", "{} {}", ((format_number(left[key]), badge(key)) for key in sorted(left)))
        nothing, counts = None, {"count": format_number(sum(offered)), "total": format_number(len(jobs))}
        if not jobs:
            nothing = "not_found", capfirst(_("deleted meanwhile"))
        elif not any(offered):
            nothing = "nothing_to_do", format_html(_("Nothing can be done: {others}."), others=others)
        text = _("{count} of {total} as they stand now; not {others}.")
        title = _title(name, jobs)
        return self.page(
            request,
            "confirm.html",
            title,
            title,
            nothing=nothing,
            jobs=jobs,
            consequences=[JOB_ACTS[name].consequence],
            left_out=format_html(text, others=others, **counts) if left else "",
            rows=[(x.name, self.url_of("change", x.pk), badge(x.status), x.job_type_id) for x in jobs[:MAX_SHOWN]],
            unnamed=max(0, len(jobs) - MAX_SHOWN),
            hidden=hidden,
            form=PriorityForm() if JOB_ACTS[name].takes_priority else (),
            yes=Action(name).label,
            back_url=back_url,
        )

    def _perform(self, request: HttpRequest, name: str, pks: list[int]) -> None:
        jobs = list(self.get_queryset(request).filter(pk__in=pks[:MAX_AT_ONCE]).defer(*LARGE))
        form = PriorityForm(request.POST)
        value = None
        if JOB_ACTS[name].takes_priority:
            value = form.cleaned_data["value"] if form.is_valid() else int(Priority.HIGH)
        outcomes = act(name, [job.name for job in jobs], user=request.user, value=value)
        rows = {job.name: job for job in jobs}
        done = [rows[item.name] for item in outcomes if item.error is None and item.result != ASKED]
        if name != Action.DELETE:  # which the engine notes
            self.remember(request, done, f"{JOB_ACTS[name].done.capitalize()}.")
        self.remember(request, [rows[item.name] for item in outcomes if item.result == ASKED], "Asked to stop.")
        for text, level, code in report(name, outcomes, missing=len(set(pks[:MAX_AT_ONCE])) - len(jobs)):
            self.message_user(request, text, level, extra_tags=code)
        if not pks:
            self.message_user(request, _("No job was chosen."), messages.WARNING, extra_tags="nothing_chosen")


def _title(name: str, jobs: Sequence[Job]) -> str:
    what = jobs[0].name if len(jobs) == 1 else f"{_('jobs')}: {format_number(len(jobs))}"
    return _("%(act)s: %(name)s?") % {"act": Action(name).label, "name": what}


def report(action: str, outcomes: Sequence[ActOutcome], missing: int = 0) -> Iterable[tuple[str, int, str]]:
    """Yield what became of jobs in sentences, each with its level and its code; ``missing`` is how many are gone."""
    total = len(outcomes) + missing
    refused: dict[tuple[str, str], list[str]] = defaultdict(list)
    for item in outcomes:
        if item.error is not None and item.result == REFUSED:
            refused[item.error.code, _reason(item.error)].append(item.name)
    done = [item.name for item in outcomes if item.error is None and item.result != ASKED]
    asked = [item.name for item in outcomes if item.result == ASKED]
    missing += sum(item.result == UNKNOWN for item in outcomes)
    values: dict[str, Any] = {"act": Action(action).label, "total": format_number(total)}
    if done:
        text = _("%(act)s: %(count)s of %(total)s")
        yield _told(text, values, done, has_names=len(done) <= MAX_NAMED), messages.SUCCESS, "done"
    if asked:
        text = _("%(act)s, asked to stop: %(count)s of %(total)s")
        yield _told(text, values, asked, has_names=len(asked) <= MAX_NAMED), messages.SUCCESS, "asked_to_stop"
    text = _("%(act)s, not done: %(count)s of %(total)s: %(reason)s")
    for (code, reason), names in refused.items():
        yield _told(text, values | {"reason": reason}, names, has_names=True), messages.WARNING, code
    if missing:
        values |= {"count": format_number(missing), "reason": _("deleted meanwhile")}
        yield f"{text % values}.", messages.WARNING, "not_found"


def _told(text: str, values: dict[str, Any], names: Sequence[str], *, has_names: bool) -> str:
    said = text % {**values, "count": format_number(len(names))}
    more = " …" if len(names) > MAX_NAMED else ""
    return f"{said} ({listed(names[:MAX_NAMED])}{more})." if has_names else f"{said}."


def _reason(error: JobsError) -> str:
    """Return the reason of a refusal without the job's id, so that equal reasons are told together."""
    if isinstance(error, NotPermitted):
        return _("you may not")
    return translated(error.reason) if isinstance(error, InvalidTransition) else told(error)
