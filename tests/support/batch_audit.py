"""Whether batches count what their jobs did, and submitted what follows them, once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from django_jobs.models import Batch, BatchChange, Job
from django_jobs.statuses import BatchState
from tests.support import verbs


def findings(*, at_rest: bool) -> Iterator[str]:
    """Yield what is wrong, in sentences. With ``at_rest``, whatever was left to do is done."""
    for batch in Batch.primary.all():
        yield from _counts(batch)
        yield from _followers(batch)
        if at_rest:
            yield from _unfinished(batch)
    if at_rest and BatchChange.primary.exists():
        yield "Changes of batches are not added up."


def _counts(batch: Batch) -> Iterator[str]:
    status = verbs.describe_batch(batch.pk)
    real = Counter(Job.primary.filter(batch_id=batch.pk).values_list("status", flat=True))
    told = {name: count for name, count in (status.by_status if status else {}).items() if count}
    if told != real:
        yield f"{batch} tells of {told}, and its jobs are {dict(real)}."


def _followers(batch: Batch) -> Iterator[str]:
    """What follows a batch is told from other jobs by its parameters."""
    for name in ("then", "on_failure"):
        known = getattr(batch, f"{name}_job_id")
        found = list(Job.primary.filter(input_parameters__follows=f"{batch.name}/{name}").values_list("pk", flat=True))
        if found != ([] if known is None else [known]):
            yield f"{name} of {batch} is {known}, and the jobs {found} were submitted."


def _unfinished(batch: Batch) -> Iterator[str]:
    rows = Job.primary.filter(batch_id=batch.pk)
    has_ended = not rows.exclude(status__in=["Completed", "Canceled", "Dead Letter"]).exists()
    if batch.closed_at is None or not has_ended:
        return
    if batch.completed_at is None:
        yield f"All jobs of {batch} have ended, and the batch has not."
        return
    name = "then" if batch.state == BatchState.COMPLETED else "on_failure"
    if getattr(batch, name) is not None and getattr(batch, f"{name}_job_id") is None:
        yield f"{batch} is {batch.state}, and its {name} was not submitted."
    if batch.cancel_position is not None or batch.retry_position is not None:
        yield f"{batch} is still being canceled or retried."
