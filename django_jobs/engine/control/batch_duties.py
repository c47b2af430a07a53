"""What is done to batches by and by: canceling and retrying all their jobs, closing what nobody closed, deleting.

To cancel or retry a batch may take many transactions. Its row notes that it is to be done and how far that has come.
Whoever asked for it works on it for a moment, and the scheduler goes on.
"""

from __future__ import annotations

import datetime as dt
import functools
import logging
import time
from collections.abc import Iterable
from typing import Any, Final

from django.db.models import Exists, OuterRef, Q, QuerySet

from django_jobs.conf import jobs_settings
from django_jobs.engine.actors import SYSTEM, Actor, user_named
from django_jobs.engine.batches import counting
from django_jobs.engine.batches.changes import change
from django_jobs.engine.control.cancel import cancel_many
from django_jobs.engine.control.retry import retry_many
from django_jobs.engine.store import database
from django_jobs.engine.store.chosen import store
from django_jobs.models import Batch, BatchChange, Job
from django_jobs.statuses import RETRYABLE_BY_HAND, UNFINISHED

logger = logging.getLogger("django_jobs")

#: Jobs that one transaction cancels or retries.
PAGE: Final = 500
#: Seconds that whoever asked for it works on it, and that a tick of the scheduler does.
CALL_SECONDS: Final = 0.3
TICK_SECONDS: Final = 0.5
#: Batches of which one tick works on.
AT_ONCE: Final = 50
RETRIED: Final = "Retried by hand, with its batch"


def in_tick() -> int:
    """Add up what others left, and go on with what is canceled or retried; return how much was done."""
    counted = counting.in_tick()
    begun = Q(cancel_position__isnull=False) | Q(retry_position__isnull=False)
    pks = list(Batch.primary.filter(begun).order_by("pk").values_list("pk", flat=True)[:AT_ONCE])
    return counted + (work_for(TICK_SECONDS, pks) if pks else 0)


def begin(pk: int) -> None:
    """Do for a moment what was noted just now.

    All of it is left to the scheduler where the open transaction does not see what others have committed: it would miss
    their jobs.
    """
    if not store().has_old_view():
        work_for(CALL_SECONDS, [pk])


def work_for(seconds: float, pks: Iterable[int]) -> int:
    """Cancel or retry the jobs of these batches, as is noted, for so many seconds; return how many it was."""
    until = time.monotonic() + seconds
    total = 0
    for pk in pks:
        turn = functools.partial(_turn_page, pk)
        while (done := database.in_transaction(turn)) is not None:
            total += done
            if time.monotonic() >= until:
                return total
    return total


def _turn_page(pk: int) -> int | None:
    """Cancel or retry a page of a batch's jobs; return how many, or None where no page is left or somebody does it."""
    batch = database.locked(Batch.primary.filter(pk=pk), skip=True).first()
    if batch is None:
        return None
    if batch.cancel_position is not None:
        return _cancel_page(batch)
    return _retry_page(batch) if batch.retry_position is not None else None


def _cancel_page(batch: Batch) -> int | None:
    jobs = Job.primary.filter(batch_id=batch.pk, status__in=sorted(UNFINISHED), cancel_requested_at__isnull=True)
    page = list(jobs.filter(pk__gt=batch.cancel_position).order_by("pk").values_list("pk", flat=True)[:PAGE])
    if page:
        _store(batch, cancel_position=page[-1])
        return sum(cancel_many(page, _actor(batch.canceled_by)))
    # Somebody held some of them when their page was turned.
    left = jobs.order_by().exists()
    _store(batch, cancel_position=0 if left else None)
    return None


def _retry_page(batch: Batch) -> int | None:
    rows = failed_jobs(batch).filter(pk__gt=batch.retry_position)
    page = list(rows.order_by("pk").values_list("pk", flat=True)[:PAGE])
    _store(batch, retry_position=page[-1] if page else None)
    if not page:
        counting.look_again(batch)
        return None
    return retry_many(page, message=RETRIED, actor=_actor(batch.retried_by), sources=sorted(RETRYABLE_BY_HAND)).moved


def failed_jobs(batch: Batch) -> QuerySet[Job]:
    """Return the jobs of a batch that somebody may have start over."""
    return Job.primary.filter(batch_id=batch.pk, status__in=sorted(RETRYABLE_BY_HAND))


def _actor(name: str) -> Actor:
    return SYSTEM if name == SYSTEM.name else user_named(name)


def _store(batch: Batch, **values: Any) -> None:
    Batch.primary.filter(pk=batch.pk).update(**values)


def expire() -> int:
    """Close batches that nobody closed in RETENTION_DAYS; they count as failed. Return how many."""
    pks = Batch.primary.filter(completed_at__isnull=True, closed_at__isnull=True, created_at__lt=_cutoff())
    found = list(pks.order_by("pk")[:AT_ONCE])
    for batch in found:
        change(batch, _expire, "closed_at", "expired_at")
        text = "batch_id=%s event=batch_expired organization=%s: nobody closed it in %s days"
        logger.warning(text, batch.batch_id, batch.organization_name, jobs_settings.RETENTION_DAYS)
    return len(found)


def _expire(row: Batch, now: dt.datetime) -> None:
    if row.closed_at is None:
        row.closed_at = row.expired_at = now


def forget_old() -> int:
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


def erase(organization_pk: Any) -> None:
    """Delete the batches of a tenant that is gone, but those of which a job is left: what follows them is its data."""
    _without_jobs(Batch.primary.filter(organization_id=organization_pk)).delete()


def _without_jobs(batches: QuerySet[Batch]) -> QuerySet[Batch]:
    return batches.exclude(Exists(Job.primary.filter(batch_id=OuterRef("pk"))))


def _cutoff() -> dt.datetime:
    return database.now() - dt.timedelta(days=float(jobs_settings.RETENTION_DAYS))
