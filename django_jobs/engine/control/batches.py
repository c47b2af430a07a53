"""What is done to a batch: by people and host code, and by and by."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from django.db.models import Exists, OuterRef, Q, QuerySet

from django_jobs.conf import jobs_settings
from django_jobs.engine import timing
from django_jobs.engine.access import beside, complain, get_policy, owner_of
from django_jobs.engine.actors import SYSTEM, Actor, actor_for, user_named
from django_jobs.engine.batches import change, count_in_tick, describe_batch, look_again, tenant_of
from django_jobs.engine.claimed_job import current_job
from django_jobs.engine.control import audit
from django_jobs.engine.control.acts import (
    JOB_ACTS,
    REFUSED,
    UNCHANGED,
    UNKNOWN,
    Action,
    ActOutcome,
    ActRights,
    Order,
    is_built_in,
    members,
    perform,
)
from django_jobs.engine.deadlines import Late
from django_jobs.engine.scope import Scope
from django_jobs.engine.store import database
from django_jobs.engine.store.database import fresh_reads, store
from django_jobs.engine.submission import same_work
from django_jobs.engine.submission.submit import as_list, raise_errors, submit_jobs, submit_or_find
from django_jobs.engine.submission.targets import may_cancel_batch, may_manage_batch
from django_jobs.engine.submission.values import Errors, refuse_unknown
from django_jobs.exceptions import (
    AttemptLost,
    BatchNotFound,
    InvalidTransition,
    JobsError,
    PermissionDenied,
    PolicyFailed,
    WorkerStopping,
)
from django_jobs.models import Batch, BatchChange, Job
from django_jobs.statuses import RETRYABLE_BY_HAND
from django_jobs.texts import marked as _
from django_jobs.texts import say

# What people and host code do to a batch: add jobs to it, close it, cancel it, retry what failed of it.


logger = logging.getLogger("django_jobs")


# What a batch does (:class:`~django_jobs.models.base.BatchVerbs`).


def submit_to_batch(batch: Batch, job_type: Any, given: Mapping[str, Any]) -> Job:
    """Submit a job of the batch, in the name of its owner."""
    if "batch" in given:
        raise TypeError("batch.submit() got an unexpected keyword argument 'batch'.")
    refuse_unknown("batch.submit", given.keys() - {"parameters"})
    owner = owner_of(batch, batch.batch_id)
    return submit_or_find(job_type, tenant_of(batch), {**given, "batch": batch}, owner)[0]


def submit_many(batch: Batch, submissions: Iterable[Mapping[str, Any]]) -> list[Job]:
    """Submit many jobs of the batch, in the name of its owner."""
    target = {"organization": tenant_of(batch), "batch": batch}
    items = as_list(submissions)
    text = say("The batch tells it; leave it out.", code="not_taken")
    raise_errors(
        {
            place: Errors({name: [text] for name in target if name in item})
            for place, item in enumerate(items)
            if isinstance(item, Mapping) and not target.keys().isdisjoint(item)
        }
    )
    items = [{**item, **target} if isinstance(item, Mapping) else item for item in items]
    return submit_jobs(items, user=owner_of(batch, batch.batch_id))


def close(batch: Batch) -> None:
    """Take no more jobs but those of its own jobs. A handler may close again what its earlier attempt closed."""

    def run(row: Batch, now: dt.datetime) -> None:
        if row.closed_at is not None and not same_work.is_own(row):
            raise InvalidTransition(
                row.batch_id, row.state, "close", say(_("it is closed already"), code="already_closed")
            )
        row.closed_at = row.closed_at or now

    change(batch, run, "closed_at")


def close_batch(batch_id: str | Batch, *, user: Any = None) -> Batch:
    """Close a batch in the name of a user, who may if they may cancel it; return it as it is then.

    Raises BatchNotFound, PermissionDenied, and InvalidTransition where it is closed already.
    """
    batch = Scope(user).batch(batch_id)
    if user is not None and not may_cancel_batch(user, batch):
        raise PermissionDenied(say(_("You may not do this to %(batch)s."), code="not_owner", batch=batch.batch_id))
    close(batch)
    audit.record(user, [batch], audit.Act.CHANGED, say("Closed.", code="closed"))
    return Scope().batch(batch)


def leave(batch: Batch, raised: type[BaseException] | None) -> None:
    """Close the batch at the end of a block; where that raised, cancel it, whatever happens then.

    Where a worker stops in the midst of the block, the handler's next attempt goes on with the batch.
    """
    claimed = current_job.get()
    if raised is asyncio.CancelledError and claimed is not None:
        raised = claimed.interruption() or raised
    if raised is not None and issubclass(raised, WorkerStopping | AttemptLost):
        return
    if raised is not None:
        try:
            _cancel(batch, None)
        except Exception:
            logger.exception("batch_id=%s event=batch_not_canceled", batch.batch_id)
        return
    if Batch.primary.filter(pk=batch.pk, closed_at__isnull=True).exists():
        close(batch)


def cancel_batch(batch_id: str | Batch, *, user: Any = None) -> Batch:
    """Cancel what waits of a batch, and ask what runs of it to stop; it takes no more jobs. Return it as it is then.

    Its owner may, and whoever manages the organization's jobs. A host's own ``can_cancel`` is asked for each job; those
    that it refuses go on, and ``refused`` counts them. One that is canceled already stays as it is. Raises
    BatchNotFound, PermissionDenied, and InvalidTransition when it has ended otherwise.
    """
    return cancel_batch_once(batch_id, user=user)[0]


def cancel_batch_once(batch_id: str | Batch, *, user: Any = None) -> tuple[Batch, bool]:
    """Do as :func:`cancel_batch` does; return the batch, and whether it was not canceled before."""
    batch = Scope(user).batch(batch_id)
    if user is not None and not may_cancel_batch(user, batch):
        raise PermissionDenied(say(_("You may not do this to %(batch)s."), code="not_owner", batch=batch.batch_id))
    is_first = _cancel(batch, user)
    if is_first:
        audit.record(user, [batch], audit.Act.CHANGED, say("Canceled.", code="canceled"))
    return Scope().batch(batch), is_first


def _cancel(batch: Batch, user: Any) -> bool:
    """Cancel it; return whether it was not canceled before."""
    is_first, actor = False, actor_for(user)

    def run(row: Batch, now: dt.datetime) -> None:
        nonlocal is_first
        is_first = row.canceled_at is None
        if not is_first:
            return
        if row.completed_at is not None and row.retry_position is None:
            raise InvalidTransition(row.batch_id, row.state, "cancel")
        row.canceled_at, row.canceled_by, row.cancel_position = now, actor.name, 0
        row.closed_at = row.closed_at or now
        row.retry_position = None
        _note_asker(row, user)

    fields = ("canceled_at", "canceled_by", "closed_at", "cancel_position", "retry_position")
    change(batch, run, *fields, *_ASKER)
    begin_batch_duty(batch.pk)
    return is_first


def act_on_batch(action: str, batch_id: str, *, user: Any = None) -> ActOutcome:
    """Cancel or retry a batch, and return what became of it: one that is canceled already is ``unchanged``.

    Raises ValueError for any other act.
    """
    is_changed = True
    try:
        if action == Action.CANCEL:
            batch, is_changed = cancel_batch_once(batch_id, user=user)
        elif action == Action.RETRY:
            batch = retry_batch(batch_id, user=user)
        else:
            raise ValueError(f"{action!r} is no act on a batch.")
    except JobsError as error:
        return ActOutcome(name=batch_id, result=UNKNOWN if isinstance(error, BatchNotFound) else REFUSED, error=error)
    result = JOB_ACTS[action].done if is_changed else UNCHANGED
    return ActOutcome(name=batch_id, result=result, status=str(batch.state))


_ASKER: Final = ("asked_by_id", "refused", "met_held")


def _note_asker(row: Batch, user: Any) -> None:
    row.asked_by_id, row.refused, row.met_held = getattr(user, "pk", None), 0, False


def retry_batch(batch_id: str | Batch, *, user: Any = None) -> Batch:
    """Start those jobs of a batch over that failed, with all their retries; return it as it is then.

    If it completes now, ``then`` is submitted. What follows it and could not be submitted is tried again. A host's own
    ``can_retry`` is asked for each job. Those that it refuses stay as they are, and ``refused`` counts them. Raises
    BatchNotFound; PermissionDenied where the user may not retry jobs of one of the types; and InvalidTransition when
    none of its jobs failed, those that did are no longer kept, or the batch was canceled.
    """
    batch = Scope(user).batch(batch_id)
    _refuse_canceled(batch)
    _refuse_retry(batch, user)
    actor = actor_for(user)

    def run(row: Batch, _now: dt.datetime) -> None:
        _refuse_canceled(row)
        row.retried_by, row.expired_at = actor.name, None
        _note_asker(row, user)
        if _left(row, Action.RETRY).exists():  # else only what follows it is tried again, at once
            row.retry_position = 0

    change(batch, run, "retry_position", "retried_by", "expired_at", *_ASKER)
    audit.record(user, [batch], audit.Act.CHANGED, say("Retried.", code="retried"))
    begin_batch_duty(batch.pk)
    return Scope().batch(batch)


def _has_failed(batch: Batch) -> bool:
    """Return whether jobs of a batch failed that may be deleted by now: they are counted still."""
    status = describe_batch(batch.pk)
    return status is not None and any(status.by_status[name] for name in RETRYABLE_BY_HAND)


def _refuse_canceled(batch: Batch) -> None:
    if batch.canceled_at is not None:
        raise InvalidTransition(batch.batch_id, batch.state, "retry", say(_("it was canceled"), code="canceled"))


def _refuse_retry(batch: Batch, user: Any) -> None:
    failed = _left(batch, Action.RETRY)
    if not failed.exists() and not batch.fault:
        reason = say(_("none of its jobs failed"), code="none_failed")
        if _has_failed(batch):
            reason = say(_("its failed jobs are no longer kept"), code="none_kept")
        raise InvalidTransition(batch.batch_id, batch.state, "retry", reason)
    if user is None:
        return
    if not may_manage_batch(user, batch):
        raise PermissionDenied(say(_("You may not do this to %(batch)s."), code="not_manager", batch=batch.batch_id))
    if not is_built_in(Action.RETRY):
        return  # the host's own answer may differ from job to job
    for name in failed.order_by("job_type_id").values_list("job_type_id", flat=True).distinct():
        job = failed.filter(job_type_id=name).first()
        if job is not None and not get_policy().can_retry(user, job):
            text = _("You may not retry %(type)s jobs, of which %(batch)s has some.")
            raise PermissionDenied(say(text, code="permission_denied", type=name, batch=batch.batch_id))


# What is done to batches by and by: canceling and retrying all their jobs, closing what nobody closed, deleting.
#
# To cancel or retry a batch may take many transactions. Its row notes that it is to be done and how far that has come.
# Whoever asked for it works on it for a moment, and the scheduler goes on.


#: Jobs that one transaction cancels or retries.
PAGE: Final = 500
#: Batches of which one tick works on.
AT_ONCE: Final = 50


#: What of a batch is canceled or retried still.
_BEGUN: Final = Q(cancel_position__isnull=False) | Q(retry_position__isnull=False)


def batch_duties_in_tick() -> int:
    """Add up what others left, and go on with what is canceled or retried; return how much was done."""
    counted = count_in_tick()
    pks = list(Batch.primary.filter(_BEGUN).order_by("pk").values_list("pk", flat=True)[:AT_ONCE])
    return counted + (work_for(timing.BATCH_CONTROL_TICK_SECONDS, pks) if pks else 0)


def begin_batch_duty(pk: int) -> None:
    """Do for a moment what was noted just now.

    All of it is left to the scheduler where the open transaction does not see what others have committed: it would miss
    their jobs.
    """
    if not store().has_old_view():
        work_for(timing.BATCH_CALL_SECONDS, [pk])


def work_for(seconds: float, pks: Iterable[int]) -> int:
    """Cancel or retry the jobs of these batches, as is noted, for so many seconds; return how many it was.

    A batch about which the access policy fails or hangs waits for the next tick.
    """
    until = time.monotonic() + seconds
    total = 0
    for pk in pks:
        try:
            while (done := _go_on(pk)) is not None:
                total += done
                if time.monotonic() >= until:
                    return total
        except Late:
            continue
        except PolicyFailed as error:
            complain(error)
    return total


class _MemberPage(NamedTuple):
    """The next jobs of a batch that is canceled or retried, and those of them to which the asker may do that."""

    jobs: list[int]
    permitted: list[int]


def _go_on(pk: int) -> int | None:
    """Cancel or retry a page of a batch's jobs; return how many, or None where no page is left or somebody does it."""
    batch = Batch.primary.filter(_BEGUN, pk=pk).first()
    return None if batch is None else beside(batch.organization_id, lambda: _turn_page(batch))


def _turn_page(batch: Batch) -> int | None:
    """Do so. The access policy is asked before the transaction, so that nobody who needs the batch waits for it."""
    position = batch.retry_position if batch.cancel_position is None else batch.cancel_position
    jobs = list(_left(batch, _action(batch)).filter(pk__gt=position).order_by("pk").values_list("pk", flat=True)[:PAGE])
    page = _MemberPage(jobs, _permitted(batch, jobs) if jobs else [])
    return database.in_transaction(lambda: _do_page(batch, page))


def _action(batch: Batch) -> str:
    """Return what is done to the batch's jobs, of which one that is canceled is no longer retried."""
    return Action.RETRY if batch.cancel_position is None else Action.CANCEL


def _left(batch: Batch, action: str) -> QuerySet[Job]:
    """Return the batch's jobs to which that can be done."""
    return members(Job.primary.filter(batch_id=batch.pk), action, None)


def _permitted(batch: Batch, jobs: list[int]) -> list[int]:
    """Return those of the jobs to which whoever asked may do it, where that is the host's to say."""
    action = _action(batch)
    if _actor(batch) == SYSTEM or is_built_in(action):
        return jobs
    with fresh_reads():
        user: Any = batch.asked_by
        if user is None or not user.is_active:
            return []
        rights = ActRights(action, user)
        rows = rights.read(Job.primary.filter(pk__in=jobs))
        return sorted(job.pk for job in database.heard(rows) if rights.may(job))


def _do_page(batch: Batch, page: _MemberPage) -> int | None:
    held = database.locked(Batch.primary.filter(pk=batch.pk), skip=True).first()
    if held is None:
        return None
    if (held.cancel_position, held.retry_position) != (batch.cancel_position, batch.retry_position):
        return 0  # somebody else turned the page
    held.refused += len(page.jobs) - len(page.permitted)
    return _retry_page(held, page) if held.cancel_position is None else _cancel_page(held, page)


def _perform(batch: Batch, page: _MemberPage) -> int:
    return len(perform(Order(_action(batch), _actor(batch)), page.permitted).changed)


def _cancel_page(batch: Batch, page: _MemberPage) -> int | None:
    if page.jobs:
        done = _perform(batch, page)
        if done < len(page.permitted) and not batch.met_held:  # they have ended, or somebody holds them
            batch.met_held = _left(batch, Action.CANCEL).filter(pk__in=page.permitted).exists()
        _store(batch, cancel_position=page.jobs[-1], refused=batch.refused, met_held=batch.met_held)
        return done
    again = {"cancel_position": 0, "refused": 0, "met_held": False}
    _store(batch, **(again if batch.met_held else {"cancel_position": None}))
    return None


def _retry_page(batch: Batch, page: _MemberPage) -> int | None:
    _store(batch, retry_position=page.jobs[-1] if page.jobs else None, refused=batch.refused)
    if not page.jobs:
        look_again(batch)
        return None
    return _perform(batch, page)


def _actor(batch: Batch) -> Actor:
    """Return who has the batch canceled or retried. A user may have the name of server code."""
    name = batch.retried_by if batch.cancel_position is None else batch.canceled_by
    return SYSTEM if name == SYSTEM.name and batch.asked_by_id is None else user_named(name)


def _store(batch: Batch, **values: Any) -> None:
    Batch.primary.filter(pk=batch.pk).update(**values)


def expire_batches() -> int:
    """Close batches that nobody closed in RETENTION_DAYS; they count as failed. Return how many."""
    pks = Batch.primary.filter(completed_at__isnull=True, closed_at__isnull=True, created_at__lt=_cutoff())
    batch_pks = list(pks.order_by("pk")[:AT_ONCE])
    for batch in batch_pks:
        change(batch, _expire, "closed_at", "expired_at")
        text = "batch_id=%s event=batch_expired organization=%s: nobody closed it in %s days"
        logger.warning(text, batch.batch_id, batch.organization_name, jobs_settings.RETENTION_DAYS)
    return len(batch_pks)


def _expire(row: Batch, now: dt.datetime) -> None:
    if row.closed_at is None:
        row.closed_at = row.expired_at = now


def forget_old_batches() -> int:
    """Delete batches that ended longer ago than jobs are kept; return how many.

    Those stay of which a job is left, or something is noted: what follows one may wait for a tenant or a type.
    """
    old = _without_jobs(Batch.primary.filter(completed_at__lt=_cutoff()))
    noted = BatchChange.primary.filter(batch_id=OuterRef("pk"))
    rows = old.exclude(Exists(noted)).order_by("completed_at", "pk")
    pks = list(rows.values_list("pk", flat=True)[:PAGE])
    if pks:
        Batch.primary.filter(pk__in=pks).delete()
    return len(pks)


def erase_batches(organization_pk: Any) -> None:
    """Delete the batches of a tenant that is gone, but those of which a job is left: what follows them is its data."""
    _without_jobs(Batch.primary.filter(organization_id=organization_pk)).delete()


def _without_jobs(batches: QuerySet[Batch]) -> QuerySet[Batch]:
    return batches.exclude(Exists(Job.primary.filter(batch_id=OuterRef("pk"))))


def _cutoff() -> dt.datetime:
    return database.now() - dt.timedelta(days=float(jobs_settings.RETENTION_DAYS))
