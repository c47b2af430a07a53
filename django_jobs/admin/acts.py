"""What people do to jobs: to chosen ones, or to all that match."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import CHANGE, DELETION
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.functional import lazy
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_jobs.admin.jobs import LARGE, MAX_ROWS, csv_of
from django_jobs.admin.operations import CONSEQUENCES, DONE, JobOperations
from django_jobs.admin.pages import View, is_system_admin, keys_of
from django_jobs.admin.writing import badge, format_number, status_word
from django_jobs.engine.access import get_policy
from django_jobs.engine.actors import actor_for
from django_jobs.engine.control.acts import Action, Order, cancel_job, members, retry_job
from django_jobs.engine.control.acts import perform as perform_order
from django_jobs.engine.control.deletion import delete_jobs
from django_jobs.engine.control.operations import OperationRights
from django_jobs.engine.store import database
from django_jobs.exceptions import InvalidTransition, JobNotFound, JobsError
from django_jobs.exceptions import PermissionDenied as NotPermitted
from django_jobs.models import Job
from django_jobs.statuses import DISPATCHABLE, RETRYABLE_BY_HAND, TERMINAL, UNFINISHED, WAITING, Priority, Status
from django_jobs.texts import listed, told, translated

# Cancel, retry, delete and export jobs: choose them in the list or on a job's page, confirm, act, and report.


CONFIRMED = "confirmed"
MAX_SHOWN = 10
EXPORT: Final[Any] = format_lazy(
    gettext_lazy("Export selected jobs as CSV (at most {count})"), count=lazy(format_number, str)(MAX_ROWS)
)


class JobActions(JobOperations):
    """The actions of the list and the buttons of a job's page.

    A permission here only offers an action. The engine asks the access policy for each job.
    """

    actions = ("cancel_jobs", "retry_jobs", "set_priority_jobs", "run_now_jobs", "delete_jobs", "export_jobs")

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

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any], *args: Any, **kwargs: Any) -> Any:
        chosen = request.POST.getlist(ACTION_CHECKBOX_NAME)
        if len(keys_of(chosen)) != len(chosen):  # no form of ours
            self.message_user(request, _("There is no such job."), messages.WARNING, extra_tags="not_found")
            return HttpResponseRedirect(request.get_full_path())
        return super().response_action(request, queryset, *args, **kwargs)

    @admin.action(description=gettext_lazy("Cancel selected jobs"), permissions=["act"])
    def cancel_jobs(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Return the page that asks before it cancels, or cancel what was confirmed."""
        return self._act_on_list(request, queryset, CANCEL)

    @admin.action(description=gettext_lazy("Retry selected jobs"), permissions=["act"])
    def retry_jobs(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Return the page that asks before it retries, or retry what was confirmed."""
        return self._act_on_list(request, queryset, RETRY)

    @admin.action(description=gettext_lazy("Change the priority of selected jobs"), permissions=["act"])
    def set_priority_jobs(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Return the page that asks for the priority, or change it as was confirmed."""
        asked = request.POST.get("value", "")
        known = asked in {str(value) for value in Priority.values}
        return self._act_on_list(request, queryset, set_priority_to(int(asked) if known else int(Priority.HIGH)))

    @admin.action(description=gettext_lazy("Run selected jobs now"), permissions=["act"])
    def run_now_jobs(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Return the page that asks before it makes jobs due, or do what was confirmed."""
        return self._act_on_list(request, queryset, RUN_NOW)

    @admin.action(description=gettext_lazy("Delete selected ended jobs"), permissions=["remove"])
    def delete_jobs(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Return the page that asks before it deletes, or delete what was confirmed."""
        return self._act_on_list(request, queryset, DELETE)

    @admin.action(description=EXPORT, permissions=["act"])
    def export_jobs(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """Return the chosen jobs as a CSV file."""
        return csv_of(request, queryset)

    def act_views(self) -> dict[str, tuple[str, View]]:
        """Return the views of the buttons on a job's page, by name."""
        return {
            verb: (f"<path:object_id>/{verb}/", partial(self._act_on_one, verb=verb)) for verb in ("cancel", "retry")
        }

    def _act_on_one(self, request: HttpRequest, object_id: str, *, verb: str) -> HttpResponse:
        if not self.has_act_permission(request):
            raise PermissionDenied
        job = self.find(request, object_id)
        if job is None:
            return self.gone(request, object_id)
        if request.method != "POST":
            return self._confirm(request, BULK_ACTIONS[verb], [job], back_url=self.url_of("change", job.pk))
        self._perform(request, BULK_ACTIONS[verb], [job.pk])
        return self.go_to(job.pk)

    def _act_on_list(self, request: HttpRequest, queryset: QuerySet[Any], act: BulkAction) -> HttpResponse:
        if request.POST.get(CONFIRMED):
            # The jobs that were confirmed may no longer match the list's filters.
            self._perform(request, act, keys_of(request.POST.getlist(ACTION_CHECKBOX_NAME)))
            return HttpResponseRedirect(request.get_full_path())
        jobs = list(queryset.defer(*LARGE)[: MAX_AT_ONCE + 1])
        if len(jobs) > MAX_AT_ONCE:  # all that match were chosen: too many for one request
            query = request.GET.urlencode()
            return HttpResponseRedirect(f"{self.url_of(f'all_{act.verb}')}{'?' if query else ''}{query}")
        return self._confirm(request, act, jobs, action=f"{act.verb}_jobs", back_url=request.get_full_path())

    def _confirm(self, request: HttpRequest, act: BulkAction, jobs: list[Job], **context: Any) -> HttpResponse:
        """Return the page that says what would happen."""
        counted = Counter(job.status for job in jobs)
        fitting = sum(count for status, count in counted.items() if status in act.fits)
        others = _others(counted, act)
        title = question(act.verb, jobs)
        return self.page(
            request,
            "job/confirm.html",
            title,
            title,
            act=act,
            jobs=jobs,
            named=[
                (job.name, self.url_of("change", job.pk), job.job_type_id, badge(job.status))
                for job in jobs[:MAX_SHOWN]
            ],
            unnamed=max(0, len(jobs) - MAX_SHOWN),
            fitting=fitting,
            others=others,
            left_out=fitting_words(act.verb, fitting, len(jobs), others) if others else "",
            checkbox=ACTION_CHECKBOX_NAME,
            confirmed=CONFIRMED,
            priorities=Priority if act.verb == Action.SET_PRIORITY else (),
            **context,
        )

    def _perform(self, request: HttpRequest, act: BulkAction, pks: list[int]) -> None:
        jobs = list(self.get_queryset(request).filter(pk__in=pks[:MAX_AT_ONCE]).defer(*LARGE))
        report = act.perform(jobs, request.user)
        flag = DELETION if act is DELETE else CHANGE
        self.remember(request, report.done, act.done, flag)
        self.remember(request, report.asked, "Asked to stop.", flag)
        for text, level, code in tell(act, report, missing=len(set(pks[:MAX_AT_ONCE])) - len(jobs)):
            self.message_user(request, text, level, extra_tags=code)
        if not pks:
            self.message_user(request, _("No job was chosen."), messages.WARNING, extra_tags="nothing_chosen")


def _others(counted: Counter[str], act: BulkAction) -> SafeString:
    """Return how many jobs have each status in which the action cannot succeed."""
    others = [
        (format_number(count), badge(status)) for status, count in sorted(counted.items()) if status not in act.fits
    ]
    return format_html_join(", ", "{} {}", others)


# Do the same to many jobs, each by the engine's own verb, and report what became of each.


#: Jobs that one request changes: each is a transaction of its own.
MAX_AT_ONCE: Final = 500


#: The code of a refusal, and its reason in words.
Refusal = tuple[str, str]


@dataclass(slots=True)
class Report:
    """What became of each job: it was done, it was asked to stop, or it was refused for a reason."""

    done: list[Job] = field(default_factory=list)
    asked: list[Job] = field(default_factory=list)
    refused: dict[Refusal, list[str]] = field(default_factory=lambda: defaultdict(list))

    def refuse(self, job: Job, code: str, reason: str) -> None:
        """Note that nothing was done to the job, and why, in a code and in words."""
        self.refused[code, reason].append(job.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkAction:
    """An action that people can take on many jobs. ``fits`` are the statuses in which it can succeed.

    ``label`` stands on the button of the page that asks, and ``done`` in the history, in English.
    """

    verb: str
    label: Any
    done: str
    fits: frozenset[Status]
    perform: Callable[[Sequence[Job], Any], Report]

    @property
    def consequence(self) -> Any:
        """Return what happens to the jobs, which is told before it does."""
        return CONSEQUENCES[self.verb]


def _one_by_one(change: Callable[..., Job]) -> Callable[[Sequence[Job], Any], Report]:
    def perform(jobs: Sequence[Job], user: Any) -> Report:
        report = Report()
        for job in jobs:
            try:
                changed = change(job, user=user)
            except JobsError as error:
                report.refuse(job, error.code, _reason(error))
            else:
                is_stopping = changed.status == Status.RUNNING
                (report.asked if is_stopping and change is cancel_job else report.done).append(job)
        return report

    return perform


def _reason(error: JobsError) -> str:
    """Return the reason of a refusal without the job's id, so that equal reasons are told together."""
    if isinstance(error, NotPermitted):
        return _("you may not")
    if isinstance(error, JobNotFound):
        return _("deleted meanwhile")
    if isinstance(error, InvalidTransition):
        return translated(error.args[0].values["reason"]).rstrip(".")
    return told(error)


def _delete(jobs: Sequence[Job], user: Any) -> Report:
    report = Report()
    policy = get_policy()
    wanted = []
    for job in jobs:
        if not policy.can_delete(user, job):
            report.refuse(job, "permission_denied", _("you may not"))
        elif job.status not in TERMINAL:
            text = _("it is %(status)s, and only ended jobs can be deleted")
            report.refuse(job, "not_ended", text % {"status": status_word(job.status)})
        else:
            wanted.append(job)
    delete_jobs([job.pk for job in wanted], release_children=True)
    left = set(Job.primary.filter(pk__in=[job.pk for job in wanted]).values_list("pk", flat=True))
    for job in wanted:
        if job.pk in left:
            text = _("other data need it, or a job that waited for it is just ending; try again")
            report.refuse(job, "in_use", text)
        else:
            report.done.append(job)
    return report


CANCEL: Final = BulkAction(
    verb=Action.CANCEL.value,
    label=gettext_lazy("Yes, cancel"),
    done="Canceled.",
    fits=UNFINISHED,
    perform=_one_by_one(cancel_job),
)
RETRY: Final = BulkAction(
    verb=Action.RETRY.value,
    label=gettext_lazy("Yes, retry"),
    done="Retried.",
    fits=RETRYABLE_BY_HAND,
    perform=_one_by_one(retry_job),
)
DELETE: Final = BulkAction(
    verb=Action.DELETE.value,
    label=gettext_lazy("Yes, delete"),
    done="Deleted.",
    fits=TERMINAL,
    perform=_delete,
)


def _together(action: str, value: int | None = None) -> Callable[[Sequence[Job], Any], Report]:
    """Return what does an action of operations to jobs at once, in one transaction."""

    def perform(jobs: Sequence[Job], user: Any) -> Report:
        report = Report()
        rights = OperationRights(action, user)
        wanted = [job for job in jobs if rights.may(job)]
        for job in jobs:
            if job not in wanted:
                report.refuse(job, "permission_denied", _("you may not"))
        order = Order(action, actor_for(user), value)
        done = database.in_transaction(lambda: _do(order, [job.pk for job in wanted]))
        for job in wanted:
            if job.pk in done:
                report.done.append(job)
            else:
                report.refuse(job, "not_waiting", _("it is not waiting for that"))
        return report

    return perform


def _do(order: Order, pks: list[int]) -> set[int]:
    """Do it to those of these jobs that it fits, and return their keys."""
    rows = Job.primary.filter(pk__in=pks)
    mine = list(database.locked(rows).values_list("pk", flat=True))
    found = sorted(members(rows.filter(pk__in=mine), order.action, order.value).values_list("pk", flat=True))
    perform_order(order, found)
    return set(found)


def set_priority_to(priority: int) -> BulkAction:
    """Return the action that gives waiting jobs this priority."""
    return BulkAction(
        verb=Action.SET_PRIORITY.value,
        label=gettext_lazy("Change priority"),
        done="Changed.",
        fits=WAITING,
        perform=_together(Action.SET_PRIORITY, priority),
    )


RUN_NOW: Final = BulkAction(
    verb=Action.RUN_NOW.value,
    label=gettext_lazy("Run now"),
    done="Made due.",
    fits=DISPATCHABLE,
    perform=_together(Action.RUN_NOW),
)

BULK_ACTIONS: Final = {act.verb: act for act in (CANCEL, RETRY, DELETE)}


def tell(act: BulkAction, report: Report, missing: int = 0) -> Iterable[tuple[str, int, str]]:
    """Yield the report in sentences, each with its level and its code. ``missing`` is how many chosen jobs are gone."""
    if report.done:
        yield done_words(act.verb, report.done), messages.SUCCESS, "done"
    if report.asked:
        yield asked_words(report.asked), messages.SUCCESS, "asked_to_stop"
    for (code, reason), names in report.refused.items():
        yield refused_words(act.verb, names, reason), messages.WARNING, code
    if missing:
        yield missing_words(act.verb, missing), messages.WARNING, "not_found"


# What is asked before something is done to many chosen jobs, and what is said afterwards.


#: Up to so many jobs are named.
MAX_NAMED: Final = 5

_ONE: Final[dict[str, Any]] = {
    Action.CANCEL: gettext_lazy("Cancel %(job)s?"),
    Action.RETRY: gettext_lazy("Retry %(job)s?"),
    Action.DELETE: gettext_lazy("Delete %(job)s?"),
    Action.SET_PRIORITY: gettext_lazy("Change the priority of %(job)s?"),
    Action.RUN_NOW: gettext_lazy("Run %(job)s now?"),
}
_MANY: Final[dict[str, Callable[[int], str]]] = {
    Action.CANCEL: lambda count: ngettext("Cancel %(count)s job?", "Cancel %(count)s jobs?", count),
    Action.RETRY: lambda count: ngettext("Retry %(count)s job?", "Retry %(count)s jobs?", count),
    Action.DELETE: lambda count: ngettext("Delete %(count)s job?", "Delete %(count)s jobs?", count),
    Action.SET_PRIORITY: lambda count: ngettext(
        "Change the priority of %(count)s job?", "Change the priority of %(count)s jobs?", count
    ),
    Action.RUN_NOW: lambda count: ngettext("Run %(count)s job now?", "Run %(count)s jobs now?", count),
}
_FITTING: Final[dict[str, Callable[[int], str]]] = {
    Action.CANCEL: lambda count: ngettext(
        "{count} of {total} can be canceled as they stand now; not {others}.",
        "{count} of {total} can be canceled as they stand now; not {others}.",
        count,
    ),
    Action.RETRY: lambda count: ngettext(
        "{count} of {total} can be retried as they stand now; not {others}.",
        "{count} of {total} can be retried as they stand now; not {others}.",
        count,
    ),
    Action.DELETE: lambda count: ngettext(
        "{count} of {total} can be deleted as they stand now; not {others}.",
        "{count} of {total} can be deleted as they stand now; not {others}.",
        count,
    ),
    Action.SET_PRIORITY: lambda count: ngettext(
        "{count} of {total} can be changed as they stand now; not {others}.",
        "{count} of {total} can be changed as they stand now; not {others}.",
        count,
    ),
    Action.RUN_NOW: lambda count: ngettext(
        "{count} of {total} can be made due as they stand now; not {others}.",
        "{count} of {total} can be made due as they stand now; not {others}.",
        count,
    ),
}
_NOT_DONE: Final[dict[str, Callable[[int], str]]] = {
    Action.CANCEL: lambda count: ngettext("%(count)s job not canceled", "%(count)s jobs not canceled", count),
    Action.RETRY: lambda count: ngettext("%(count)s job not retried", "%(count)s jobs not retried", count),
    Action.DELETE: lambda count: ngettext("%(count)s job not deleted", "%(count)s jobs not deleted", count),
    Action.SET_PRIORITY: lambda count: ngettext("%(count)s job not changed", "%(count)s jobs not changed", count),
    Action.RUN_NOW: lambda count: ngettext("%(count)s job not made due", "%(count)s jobs not made due", count),
}


def question(verb: str, jobs: Sequence[Job]) -> str:
    """Return what is asked before this is done to these jobs: one is named, more are counted."""
    if len(jobs) == 1:
        return str(_ONE[verb]) % {"job": jobs[0].name}
    return _MANY[verb](len(jobs)) % {"count": format_number(len(jobs))}


def fitting_words(verb: str, fitting: int, total: int, others: SafeString) -> SafeString:
    """Return to how many of the chosen jobs this can be done; ``others`` counts those to which it cannot, by status."""
    return format_html(_FITTING[verb](fitting), count=format_number(fitting), total=format_number(total), others=others)


def done_words(verb: str, jobs: Sequence[Job]) -> str:
    """Return that this was done to these jobs, as a sentence."""
    what = DONE[verb](len(jobs)) % {"count": format_number(len(jobs))}
    if len(jobs) > MAX_NAMED:
        return _("%(what)s.") % {"what": what}
    return _("%(what)s (%(jobs)s).") % {"what": what, "jobs": _names(jobs)}


def asked_words(jobs: Sequence[Job]) -> str:
    """Return that these jobs were asked to stop, as a sentence."""
    count = len(jobs)
    if count > MAX_NAMED:
        text = ngettext("%(count)s job is asked to stop.", "%(count)s jobs are asked to stop.", count)
        return text % {"count": format_number(count)}
    text = ngettext("%(count)s job (%(jobs)s) is asked to stop.", "%(count)s jobs (%(jobs)s) are asked to stop.", count)
    return text % {"count": format_number(count), "jobs": _names(jobs)}


def refused_words(verb: str, names: Sequence[str], reason: str) -> str:
    """Return that this was not done to the jobs of these names, and why, as a sentence."""
    what = _NOT_DONE[verb](len(names)) % {"count": format_number(len(names))}
    shown = listed(names[:MAX_NAMED]) + (" …" if len(names) > MAX_NAMED else "")
    return _("%(what)s (%(jobs)s): %(reason)s.") % {"what": what, "jobs": shown, "reason": reason}


def missing_words(verb: str, count: int) -> str:
    """Return that this was not done to so many jobs, which are not there any more, as a sentence."""
    what = _NOT_DONE[verb](count) % {"count": format_number(count)}
    return _("%(what)s: %(reason)s.") % {"what": what, "reason": _("deleted meanwhile")}


def _names(jobs: Sequence[Job]) -> str:
    return listed(job.name for job in jobs)
