"""What is done to batches by and by: canceling and retrying all their jobs, closing what nobody closed, deleting.

To cancel or retry a batch may take many transactions. Its row notes that it is to be done and how far that has come.
Whoever asked for it works on it for a moment, and the scheduler goes on.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from django.db.models import Exists, OuterRef, Q, QuerySet

from django_jobs.conf import jobs_settings
from django_jobs.engine.access import beside, complain
from django_jobs.engine.actors import SYSTEM, Actor, user_named
from django_jobs.engine.batches import counting
from django_jobs.engine.batches.changes import change
from django_jobs.engine.control.cancel import cancel_many
from django_jobs.engine.control.operation_rights import Rights, is_built_in
from django_jobs.engine.control.retry import retry_many
from django_jobs.engine.deadlines import Late
from django_jobs.engine.store import database
from django_jobs.engine.store.chosen import store
from django_jobs.engine.store.fresh_reads import fresh_reads
from django_jobs.exceptions import PolicyFailed
from django_jobs.models import Batch, BatchChange, Job, Operation
from django_jobs.statuses import RETRYABLE_BY_HAND, UNFINISHED
from django_jobs.texts import say

logger = logging.getLogger("django_jobs")

#: Jobs that one transaction cancels or retries.
PAGE: Final = 500
#: Seconds that whoever asked for it works on it, and that a tick of the scheduler does.
CALL_SECONDS: Final = 0.3
TICK_SECONDS: Final = 0.5
#: Batches of which one tick works on.
AT_ONCE: Final = 50
RETRIED: Final = say("Retried by hand, with its batch", code="retried_with_batch")


#: What of a batch is canceled or retried still.
_BEGUN: Final = Q(cancel_position__isnull=False) | Q(retry_position__isnull=False)


def in_tick() -> int:
    """Add up what others left, and go on with what is canceled or retried; return how much was done."""
    counted = counting.in_tick()
    pks = list(Batch.primary.filter(_BEGUN).order_by("pk").values_list("pk", flat=True)[:AT_ONCE])
    return counted + (work_for(TICK_SECONDS, pks) if pks else 0)


def begin(pk: int) -> None:
    """Do for a moment what was noted just now.

    All of it is left to the scheduler where the open transaction does not see what others have committed: it would miss
    their jobs.
    """
    if not store().has_old_view():
        work_for(CALL_SECONDS, [pk])


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


class _Page(NamedTuple):
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
    jobs = list(_left(batch).filter(pk__gt=position).order_by("pk").values_list("pk", flat=True)[:PAGE])
    page = _Page(jobs, _permitted(batch, jobs) if jobs else [])
    return database.in_transaction(lambda: _do_page(batch, page))


def _left(batch: Batch) -> QuerySet[Job]:
    """Return the jobs that are to be canceled or retried."""
    if batch.cancel_position is None:
        return failed_jobs(batch)
    return Job.primary.filter(batch_id=batch.pk, status__in=sorted(UNFINISHED), cancel_requested_at__isnull=True)


def _permitted(batch: Batch, jobs: list[int]) -> list[int]:
    """Return those of the jobs to which whoever asked may do it, where that is the host's to say."""
    is_canceled = batch.cancel_position is not None
    action = Operation.Action.CANCEL if is_canceled else Operation.Action.RETRY
    if _actor(batch) == SYSTEM or is_built_in(action):
        return jobs
    with fresh_reads():
        user: Any = batch.asked_by
        if user is None or not user.is_active:
            return []
        rights = Rights(action, user)
        rows = rights.read(Job.primary.filter(pk__in=jobs))
        return sorted(job.pk for job in database.heard(rows) if rights.may(job))


def _do_page(batch: Batch, page: _Page) -> int | None:
    held = database.locked(Batch.primary.filter(pk=batch.pk), skip=True).first()
    if held is None:
        return None
    if (held.cancel_position, held.retry_position) != (batch.cancel_position, batch.retry_position):
        return 0  # somebody else turned the page
    held.refused += len(page.jobs) - len(page.permitted)
    return _retry_page(held, page) if held.cancel_position is None else _cancel_page(held, page)


def _cancel_page(batch: Batch, page: _Page) -> int | None:
    if page.jobs:
        done = sum(cancel_many(page.permitted, _actor(batch)))
        if done < len(page.permitted) and not batch.met_held:  # they have ended, or somebody holds them
            batch.met_held = _left(batch).filter(pk__in=page.permitted).exists()
        _store(batch, cancel_position=page.jobs[-1], refused=batch.refused, met_held=batch.met_held)
        return done
    again = {"cancel_position": 0, "refused": 0, "met_held": False}
    _store(batch, **(again if batch.met_held else {"cancel_position": None}))
    return None


def _retry_page(batch: Batch, page: _Page) -> int | None:
    _store(batch, retry_position=page.jobs[-1] if page.jobs else None, refused=batch.refused)
    if not page.jobs:
        counting.look_again(batch)
        return None
    return retry_many(page.permitted, message=RETRIED, actor=_actor(batch), sources=sorted(RETRYABLE_BY_HAND)).moved


def failed_jobs(batch: Batch) -> QuerySet[Job]:
    """Return the jobs of a batch that somebody may have start over."""
    return Job.primary.filter(batch_id=batch.pk, status__in=sorted(RETRYABLE_BY_HAND))


def _actor(batch: Batch) -> Actor:
    """Return who has the batch canceled or retried. A user may have the name of server code."""
    name = batch.retried_by if batch.cancel_position is None else batch.canceled_by
    return SYSTEM if name == SYSTEM.name and batch.asked_by_id is None else user_named(name)


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
