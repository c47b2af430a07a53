"""Do the same to many jobs, each by the engine's own verb, and report what became of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.contrib import messages
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobs.admin.bulk_words import asked_words, done_words, missing_words, refused_words
from django_jobs.admin.formatting import status_word
from django_jobs.admin.operation_words import CONSEQUENCES
from django_jobs.engine.access import get_policy
from django_jobs.engine.actors import actor_for
from django_jobs.engine.control.acts import Action, Order, cancel_job, members, retry_job
from django_jobs.engine.control.acts import perform as perform_order
from django_jobs.engine.control.deletion import delete_jobs
from django_jobs.engine.control.operations import OperationRights
from django_jobs.engine.store import database
from django_jobs.exceptions import InvalidTransition, JobNotFound, JobsError, PermissionDenied
from django_jobs.models import Job
from django_jobs.statuses import DISPATCHABLE, RETRYABLE_BY_HAND, TERMINAL, UNFINISHED, WAITING, Status
from django_jobs.texts import told, translated

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
    if isinstance(error, PermissionDenied):
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
