"""Do the same to many jobs, each by the engine's own verb, and report what became of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.contrib import messages

from django_jobs.engine.access import get_policy
from django_jobs.engine.control.cancel import cancel_job
from django_jobs.engine.control.deletion import delete_jobs
from django_jobs.engine.control.retry import retry_job
from django_jobs.exceptions import InvalidTransition, JobNotFound, JobsError, PermissionDenied
from django_jobs.models import Job
from django_jobs.statuses import RETRYABLE_BY_HAND, TERMINAL, UNFINISHED, Status

#: Jobs that one request changes: each is a transaction of its own.
MAX_AT_ONCE: Final = 500
MAX_NAMED: Final = 5


@dataclass(slots=True)
class Report:
    """What became of each job: it was done, it was asked to stop, or it was refused for a reason."""

    done: list[Job] = field(default_factory=list)
    asked: list[Job] = field(default_factory=list)
    refused: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def refuse(self, job: Job, reason: str) -> None:
        """Note that nothing was done to the job, and why."""
        self.refused[reason].append(job.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkAction:
    """An action that people can take on many jobs. ``fits`` are the statuses in which it can succeed."""

    verb: str
    past: str
    fits: frozenset[Status]
    consequence: str
    perform: Callable[[Sequence[Job], Any], Report]


def _one_by_one(change: Callable[..., Job]) -> Callable[[Sequence[Job], Any], Report]:
    def perform(jobs: Sequence[Job], user: Any) -> Report:
        report = Report()
        for job in jobs:
            try:
                changed = change(job, user=user)
            except JobsError as error:
                report.refuse(job, _reason(error))
            else:
                is_stopping = changed.status == Status.RUNNING
                (report.asked if is_stopping and change is cancel_job else report.done).append(job)
        return report

    return perform


def _reason(error: JobsError) -> str:
    """Return the reason of a refusal without the job's id, so that equal reasons are told together."""
    if isinstance(error, PermissionDenied):
        return "you may not"
    if isinstance(error, JobNotFound):
        return "deleted meanwhile"
    if isinstance(error, InvalidTransition):
        text = str(error).partition(": ")[2].rstrip(".")
        return text or f"it is {error.status}"
    return str(error)


def _delete(jobs: Sequence[Job], user: Any) -> Report:
    report = Report()
    policy = get_policy()
    wanted = []
    for job in jobs:
        if not policy.can_delete(user, job):
            report.refuse(job, "you may not")
        elif job.status not in TERMINAL:
            report.refuse(job, f"it is {job.status}, and only ended jobs can be deleted")
        else:
            wanted.append(job)
    delete_jobs([job.pk for job in wanted], release_children=True)
    left = set(Job.primary.filter(pk__in=[job.pk for job in wanted]).values_list("pk", flat=True))
    for job in wanted:
        if job.pk in left:
            report.refuse(job, "other data need it, or a job that waited for it is just ending; try again")
        else:
            report.done.append(job)
    return report


CANCEL: Final = BulkAction(
    verb="cancel",
    past="canceled",
    fits=UNFINISHED,
    consequence="Waiting jobs end at once. Running ones are asked to stop and end within moments. "
    "Jobs that wait for them to complete are canceled with them.",
    perform=_one_by_one(cancel_job),
)
RETRY: Final = BulkAction(
    verb="retry",
    past="retried",
    fits=RETRYABLE_BY_HAND,
    consequence="Each starts over with all its retries; its error, result and times are cleared. Jobs that died "
    "because of it come to life again.",
    perform=_one_by_one(retry_job),
)
DELETE: Final = BulkAction(
    verb="delete",
    past="deleted",
    fits=TERMINAL,
    consequence="Each goes with its Execution Log and the files that it saved. Jobs that depend on it wait for it no "
    "longer, and cannot read its result. This cannot be undone.",
    perform=_delete,
)
BULK_ACTIONS: Final = {act.verb: act for act in (CANCEL, RETRY, DELETE)}


def tell(act: BulkAction, report: Report, missing: int = 0) -> Iterable[tuple[int, str]]:
    """Yield the report in sentences, each with its message level. ``missing`` is how many chosen jobs are gone."""
    if report.done:
        yield messages.SUCCESS, f"{_count(len(report.done))} {act.past}{_names(report.done)}."
    if report.asked:
        verb = "is" if len(report.asked) == 1 else "are"
        yield messages.SUCCESS, f"{_count(len(report.asked))}{_names(report.asked)} {verb} asked to stop."
    for reason, names in report.refused.items():
        shown = ", ".join(names[:MAX_NAMED]) + (" …" if len(names) > MAX_NAMED else "")
        yield messages.WARNING, f"{_count(len(names))} not {act.past} ({shown}): {reason}."
    if missing:
        yield messages.WARNING, f"{_count(missing)} not {act.past}: deleted meanwhile."


def _count(number: int) -> str:
    return f"{number:,} job{'' if number == 1 else 's'}"


def _names(jobs: Sequence[Job]) -> str:
    return f" ({', '.join(job.name for job in jobs)})" if len(jobs) <= MAX_NAMED else ""
