"""What people and host code do to a batch: add jobs to it, close it, cancel it, retry what failed of it."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final

from django_jobs.engine.access import get_policy
from django_jobs.engine.actors import actor_for
from django_jobs.engine.batches.changes import change
from django_jobs.engine.batches.endings import owner_of, tenant_of
from django_jobs.engine.batches.status import describe
from django_jobs.engine.claimed_job import current_job
from django_jobs.engine.control import batch_duties
from django_jobs.engine.control.operation_rights import is_built_in
from django_jobs.engine.lookup import find_batch
from django_jobs.engine.submission import bulk, resubmission, single
from django_jobs.engine.submission.fields import refuse_unknown
from django_jobs.engine.submission.rights import Authorizer, may_cancel_batch, may_manage_batch
from django_jobs.exceptions import AttemptLost, InvalidSubmission, InvalidTransition, PermissionDenied, WorkerStopping
from django_jobs.models import Batch, Job, Operation
from django_jobs.statuses import RETRYABLE_BY_HAND
from django_jobs.texts import marked as _
from django_jobs.texts import say

logger = logging.getLogger("django_jobs")


# What a batch does (``models.hooks.BatchVerbs``).


def submit(batch: Batch, job_type: Any, given: Mapping[str, Any]) -> Job:
    """Submit a job of the batch, in the name of its owner."""
    if "batch" in given:
        raise TypeError("batch.submit() got an unexpected keyword argument 'batch'.")
    refuse_unknown("batch.submit", given.keys() - {"parameters"})
    owner = owner_of(batch)
    return single.submit(job_type, tenant_of(batch), {**given, "batch": batch}, owner, Authorizer(owner))


def submit_many(batch: Batch, submissions: Iterable[Mapping[str, Any]]) -> list[Job]:
    """Submit many jobs of the batch, in the name of its owner."""
    told = {"organization": tenant_of(batch), "batch": batch}
    items = bulk.as_list(submissions)
    errors: dict[int, dict[str, list[str]]] = {
        place: {name: [say("The batch tells it; leave it out.", code="not_taken")] for name in told if name in item}
        for place, item in enumerate(items)
        if isinstance(item, Mapping) and not told.keys().isdisjoint(item)
    }
    if errors:
        flat = {f"{place}.{name}": texts for place, own in errors.items() for name, texts in own.items()}
        raise InvalidSubmission(flat, errors)
    items = [{**item, **told} if isinstance(item, Mapping) else item for item in items]
    return bulk.submit_jobs(items, user=owner_of(batch))


def close(batch: Batch) -> None:
    """Take no more jobs but those of its own jobs. A handler may close again what its earlier attempt closed."""

    def run(row: Batch, now: dt.datetime) -> None:
        if row.closed_at is not None and not resubmission.is_own(row):
            raise InvalidTransition(
                row.batch_id, row.state, "close", say(_("it is closed already"), code="already_closed")
            )
        row.closed_at = row.closed_at or now

    change(batch, run, "closed_at")


def close_batch(batch_id: str | Batch, *, user: Any = None) -> Batch:
    """Close a batch in the name of a user, who may if they may cancel it; return it as it is then.

    Raises BatchNotFound, PermissionDenied, and InvalidTransition where it is closed already.
    """
    batch = find_batch(batch_id, user)
    if user is not None and not may_cancel_batch(user, batch):
        raise PermissionDenied(say(_("You may not close %(batch)s."), code="not_owner", batch=batch.batch_id))
    close(batch)
    return find_batch(batch)


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
    batch = find_batch(batch_id, user)
    if user is not None and not may_cancel_batch(user, batch):
        raise PermissionDenied(say(_("You may not cancel %(batch)s."), code="not_owner", batch=batch.batch_id))
    is_first = _cancel(batch, user)
    return find_batch(batch), is_first


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
    batch_duties.begin(batch.pk)
    return is_first


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
    batch = find_batch(batch_id, user)
    _refuse_canceled(batch)
    _refuse_retry(batch, user)
    actor = actor_for(user)

    def run(row: Batch, _now: dt.datetime) -> None:
        _refuse_canceled(row)
        row.retried_by, row.expired_at = actor.name, None
        _note_asker(row, user)
        if batch_duties.failed_jobs(row).exists():  # else only what follows it is tried again, at once
            row.retry_position = 0

    change(batch, run, "retry_position", "retried_by", "expired_at", *_ASKER)
    logger.info("batch_id=%s event=batch_retried by=%s", batch.batch_id, actor.name)
    batch_duties.begin(batch.pk)
    return find_batch(batch)


def _has_failed(batch: Batch) -> bool:
    """Return whether jobs of a batch failed that may be deleted by now: they are counted still."""
    status = describe(batch.pk)
    return status is not None and any(status.by_status[name] for name in RETRYABLE_BY_HAND)


def _refuse_canceled(batch: Batch) -> None:
    if batch.canceled_at is not None:
        raise InvalidTransition(batch.batch_id, batch.state, "retry", say(_("it was canceled"), code="canceled"))


def _refuse_retry(batch: Batch, user: Any) -> None:
    failed = batch_duties.failed_jobs(batch)
    if not failed.exists() and not batch.fault:
        reason = say(_("none of its jobs failed"), code="none_failed")
        if _has_failed(batch):
            reason = say(_("its failed jobs are no longer kept"), code="none_kept")
        raise InvalidTransition(batch.batch_id, batch.state, "retry", reason)
    if user is None:
        return
    if not may_manage_batch(user, batch):
        raise PermissionDenied(say(_("You may not retry %(batch)s."), code="not_manager", batch=batch.batch_id))
    if not is_built_in(Operation.Action.RETRY):
        return  # the host's own answer may differ from job to job
    for name in failed.order_by("job_type_id").values_list("job_type_id", flat=True).distinct():
        job = failed.filter(job_type_id=name).first()
        if job is not None and not get_policy().can_retry(user, job):
            text = _("You may not retry %(type)s jobs, of which %(batch)s has some.")
            raise PermissionDenied(say(text, code="permission_denied", type=name, batch=batch.batch_id))
