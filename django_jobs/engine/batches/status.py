"""What a batch does, as host code is told: its row, and what was not yet added to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import IntegerField, OuterRef, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce

from django_jobs.engine.lookup import find_batch
from django_jobs.engine.store.base.batches import COUNTS
from django_jobs.engine.store.organization_ids import recent_ids
from django_jobs.exceptions import BatchNotFound
from django_jobs.models import Batch, BatchChange, Job
from django_jobs.models.batch import COUNTED, BatchQuerySet, format_batch_id
from django_jobs.models.job import format_job_id
from django_jobs.statuses import IN_FLIGHT, UNFINISHED_STATES, Status
from django_jobs.texts import say
from django_jobs.values import BatchStatus


def get_batch_status(batch_id: str | Batch, *, user: Any = None) -> BatchStatus:
    """Return what the batch does now. BatchNotFound when there is no such batch, or ``user`` may not know of it.

    This reads one row and what was not yet added to it, and counts what is queued or running of the batch now: nothing
    that grows with the number of its jobs.
    """
    batch = find_batch(batch_id, user)
    found = describe(batch.pk)
    if found is None:
        raise BatchNotFound(say("There is no batch %(batch)r.", code="unknown_batch", batch=batch.batch_id))
    return found


def describe(pk: int) -> BatchStatus | None:
    """Return the status of the batch with this key, as it is now; None where it is gone."""
    return next(iter(describe_all(list(up_to_date(Batch.primary.filter(pk=pk))))), None)


def up_to_date(rows: BatchQuerySet) -> BatchQuerySet:
    """Return these batches with what was not yet added to each, read by the same statement."""
    left = BatchChange.primary.filter(batch_id=OuterRef("pk")).order_by().values("batch_id")
    sums = {f"left_{name}": _sum(left, name) for name in COUNTS}
    return rows.annotate(**sums)


def _sum(left: QuerySet[Any, Any], name: str) -> Coalesce:
    return Coalesce(Subquery(left.annotate(s=Sum(name)).values("s"), output_field=IntegerField()), Value(0))


def describe_all(batches: Sequence[Batch]) -> list[BatchStatus]:
    """Return the status of each of these rows, best from :func:`up_to_date`; in a fixed number of statements."""
    for batch in batches:
        for name in COUNTS:
            setattr(batch, name, getattr(batch, name) + getattr(batch, f"left_{name}", 0))
            setattr(batch, f"left_{name}", 0)
        if batch.ended < batch.total:  # a job of a batch that had ended was retried just now
            batch.completed_at = None
    flying = _in_flight([batch.pk for batch in batches if batch.ended < batch.total])
    names = recent_ids({batch.organization_id: batch.organization_name for batch in batches})
    jobs = _job_ids([pk for batch in batches for pk in (batch.then_job_id, batch.on_failure_job_id) if pk is not None])
    return [_describe(batch, flying.get(batch.pk, _NONE), names[batch.organization_id], jobs) for batch in batches]


class _Flying:
    """What is queued or running of a batch."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.started_at: Any = None


_NONE = _Flying()


def _in_flight(pks: Sequence[int]) -> dict[int, _Flying]:
    """Read what is in flight, which is never much, whatever batch it is of."""
    found: dict[int, _Flying] = {}
    rows = Job.primary.filter(status__in=sorted(IN_FLIGHT), queued_at__isnull=False, batch_id__in=pks).order_by()
    for pk, status, started_at in rows.values_list("batch_id", "status", "started_at") if pks else ():
        own = found.setdefault(pk, _Flying())
        own.counts[status] = own.counts.get(status, 0) + 1
        if status == Status.RUNNING and started_at is not None:
            own.started_at = min(own.started_at or started_at, started_at)
    return found


def _job_ids(pks: Sequence[int]) -> dict[int, str]:
    rows = Job.primary.filter(pk__in=pks).values_list("pk", "created_at") if pks else ()
    return {pk: format_job_id(pk, created_at.year) for pk, created_at in rows}


def _describe(batch: Batch, flying: _Flying, organization: str, jobs: dict[int, str]) -> BatchStatus:
    counts = dict.fromkeys(map(str, Status), 0)
    counts |= {str(status): max(0, getattr(batch, column)) for status, column in COUNTED.items()}
    left = max(0, batch.total - sum(counts.values()))
    for status in IN_FLIGHT:  # they may have moved on since the row was read
        counts[status] = min(left, flying.counts.get(status, 0))
        left -= counts[status]
    counts[Status.PENDING] = left
    return BatchStatus(
        batch_id=batch.batch_id,
        name=batch.name,
        organization=organization,
        owner=batch.owner_name,
        open_to=batch.open_to,
        state=str(batch.state),
        total=batch.total,
        by_status=counts,
        progress=_progress(batch),
        created_at=batch.created_at,
        started_at=_earliest(batch.started_at, flying.started_at),
        closed_at=batch.closed_at,
        completed_at=batch.completed_at,
        then_job=jobs.get(batch.then_job_id or 0),
        on_failure_job=jobs.get(batch.on_failure_job_id or 0),
        fault=batch.fault,
        refused=batch.refused,
    )


def _earliest(*moments: Any) -> Any:
    return min((moment for moment in moments if moment is not None), default=None)


def _progress(batch: Batch) -> int:
    """Return the share of its jobs that have ended, in percent. An empty batch is done once it has ended."""
    if not batch.total:
        return 0 if batch.state in UNFINISHED_STATES else 100
    return min(100, 100 * batch.ended // batch.total)


def batch_id_of(job_pk: int) -> str | None:
    """Return the id of the batch that a job counts for; None where it counts for none."""
    row = Job.primary.filter(pk=job_pk, batch__isnull=False).values_list("batch_id", "batch__created_at").first()
    return None if row is None or row[1] is None else format_batch_id(row[0], row[1].year)


def batch_of(job_pk: int) -> BatchStatus | None:
    """Return the status of the batch that a job counts for, or whose ``then`` or ``on_failure`` it is."""
    pk = Job.primary.filter(pk=job_pk).values_list("batch_id", flat=True).first()
    if pk is None:
        for name in ("then_job_id", "on_failure_job_id"):
            pk = pk or Batch.primary.filter(**{name: job_pk}).values_list("pk", flat=True).first()
    return None if pk is None else describe(pk)
