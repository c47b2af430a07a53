"""Canceling and retrying jobs that somebody names one by one: a page of them in one transaction, and batches.

The rules are those of :func:`~.acts.cancel_job`, :func:`~.acts.retry_job` and their like for batches. What cannot be
done to one says why, and hinders none of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django_jobs.engine import dependencies
from django_jobs.engine.access import may_view
from django_jobs.engine.actors import actor_for
from django_jobs.engine.control.acts import Action, Order, perform
from django_jobs.engine.control.batches import cancel_batch_once, retry_batch
from django_jobs.engine.control.operations import LARGE, OperationRights
from django_jobs.engine.insight.filter import with_ids
from django_jobs.engine.store import database
from django_jobs.exceptions import BatchNotFound, InvalidTransition, JobsError
from django_jobs.models import Batch, Job
from django_jobs.models.job import parse_job_id
from django_jobs.statuses import RETRYABLE_BY_HAND, UNFINISHED, Status
from django_jobs.texts import said, say

#: Jobs of one transaction.
PAGE: Final = 500
#: What became of a job or batch that was named.
CANCELED: Final = "canceled"
ASKED: Final = "asked_to_stop"
RETRIED: Final = "retried"
UNCHANGED: Final = "unchanged"  # it was so already
REFUSED: Final = "refused"
UNKNOWN: Final = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedOutcome:
    """What became of one job or batch. ``status`` is what it has then; both texts are empty where there is none."""

    job_id: str
    result: str
    status: str = ""
    reason: str = ""


def cancel_named(job_ids: Sequence[str], *, user: Any = None, is_trial: bool = False) -> list[NamedOutcome]:
    """Cancel those of up to PAGE jobs that wait, and ask those that run to stop; return what became of each, in order.

    One that is canceled, or was asked, already is ``unchanged``. With ``is_trial`` nothing is changed, and the answer
    says what would become of each.
    """
    return database.in_transaction(lambda: _NamedPage(Action.CANCEL, job_ids, user).work(is_trial=is_trial))


def retry_named(job_ids: Sequence[str], *, user: Any = None, is_trial: bool = False) -> list[NamedOutcome]:
    """Start those of up to PAGE jobs over that failed; return what became of each, in their order."""
    return database.in_transaction(lambda: _NamedPage(Action.RETRY, job_ids, user).work(is_trial=is_trial))


def cancel_named_batch(batch_id: str, *, user: Any = None) -> NamedOutcome:
    """Cancel a batch and return what became of it: one that is canceled already is ``unchanged``."""
    return _outcome_of_batch(batch_id, lambda: cancel_batch_once(batch_id, user=user), CANCELED)


def retry_named_batch(batch_id: str, *, user: Any = None) -> NamedOutcome:
    """Start those jobs of a batch over that failed, and return what became of it."""
    return _outcome_of_batch(batch_id, lambda: (retry_batch(batch_id, user=user), True), RETRIED)


def _outcome_of_batch(batch_id: str, act: Callable[[], tuple[Batch, bool]], done: str) -> NamedOutcome:
    try:
        batch, is_changed = act()
    except BatchNotFound:
        return NamedOutcome(job_id=batch_id, result=UNKNOWN)
    except JobsError as error:
        return NamedOutcome(job_id=batch_id, result=REFUSED, reason=said(error))
    return NamedOutcome(job_id=batch_id, result=done if is_changed else UNCHANGED, status=str(batch.state))


class _NamedPage:
    def __init__(self, action: str, job_ids: Sequence[str], user: Any) -> None:
        self._action = action
        self._names = job_ids
        self._user = user
        self._rights = OperationRights(action, user)
        #: The keys of those that wait for a job that will not complete.
        self._held: set[int] = set()
        self._judge = self._judge_cancel if action == Action.CANCEL else self._judge_retry

    def work(self, *, is_trial: bool) -> list[NamedOutcome]:
        jobs = self._lock()
        if self._action == Action.RETRY:
            self._held = dependencies.without_hope([job.pk for job in jobs.values()])
        judged = {name: self._judge(job) for name, job in jobs.items()}
        chosen = [jobs[name].pk for name, (result, _) in judged.items() if result in {CANCELED, ASKED, RETRIED}]
        statuses = {name: str(job.status) for name, job in jobs.items()}
        if chosen and not is_trial:
            perform(Order(self._action, actor_for(self._user)), chosen)
            rows = Job.primary.filter(pk__in=chosen).only("pk", "created_at", "status")
            statuses |= {job.name: str(job.status) for job in rows}
        return [self._outcome(name, judged, statuses) for name in self._names]

    def _lock(self) -> dict[str, Job]:
        """Return the jobs that the user may know of, by their ids, with their rows held in the order of their keys."""
        rows = Job.primary.all() if self._user is None else Job.primary.visible_to(self._user)
        ids = [parsed for name in self._names if (parsed := parse_job_id(name)) is not None]
        pks = sorted(rows.filter(with_ids(ids)).values_list("pk", flat=True)) if ids else []
        held = database.locked(Job.primary.filter(pk__in=pks).defer(*LARGE).order_by("pk"))
        return {job.name: job for job in held if self._user is None or may_view(self._user, job)}

    def _judge_cancel(self, job: Job) -> tuple[str, str]:
        if not self._rights.may(job):
            return REFUSED, say("You may not cancel %(job)s.", code="permission_denied", job=job.name)
        if job.status == Status.CANCELED or (job.status == Status.RUNNING and job.cancel_requested_at is not None):
            return UNCHANGED, ""
        if job.status not in UNFINISHED:
            return REFUSED, said(InvalidTransition(job.name, job.status, "cancel"))
        return (ASKED if job.status == Status.RUNNING else CANCELED), ""

    def _judge_retry(self, job: Job) -> tuple[str, str]:
        if not self._rights.may(job):
            return REFUSED, say("You may not retry %(job)s.", code="permission_denied", job=job.name)
        if job.status not in RETRYABLE_BY_HAND:
            return REFUSED, said(InvalidTransition(job.name, job.status, "retry"))
        if job.pk in self._held:
            return REFUSED, said(InvalidTransition(job.name, job.status, "retry", dependencies.hindrance(job) or ""))
        return RETRIED, ""

    def _outcome(self, name: str, judged: dict[str, tuple[str, str]], statuses: dict[str, str]) -> NamedOutcome:
        if name not in judged:
            return NamedOutcome(job_id=name, result=UNKNOWN)
        result, reason = judged[name]
        return NamedOutcome(job_id=name, result=result, status=statuses[name], reason=reason)
