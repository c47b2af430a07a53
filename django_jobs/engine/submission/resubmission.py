"""Giving a handler back what an earlier attempt of its job submitted, when a later attempt submits the same work.

Each job remembers which job's handler submitted it, and in which attempt; so does each batch. A first attempt takes no
statement. A job that was canceled or is a Dead Letter is not given back, nor is a batch that was canceled.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final, TypeVar

from django_jobs.engine.claimed_job import GivenBack, current_job
from django_jobs.engine.store import database
from django_jobs.models import Batch, Job
from django_jobs.statuses import UNSUCCESSFUL

#: Hashes looked for in one statement.
AT_ONCE: Final = 2_000
#: What is equal of batches that two attempts make by the same call.
_SAME: Final = ("organization_id", "owner_id", "name", "then", "on_failure", "open_to")

Made = TypeVar("Made", Job, Batch)


def submitter() -> tuple[int | None, int | None]:
    """Return the job whose handler submits now, and its attempt; two Nones outside handlers."""
    claimed = current_job.get()
    return (None, None) if claimed is None else (claimed.pk, claimed.attempt)


def is_own(made: Job | Batch) -> bool:
    """Return whether an earlier attempt of the job that runs here submitted this job, or made this batch."""
    pk, attempt = submitter()
    return attempt is not None and made.submitted_by_id == pk and (made.submitted_by_attempt or 0) < attempt


def is_later_attempt() -> bool:
    """Return whether a handler runs here whose job was tried before, so that there may be something to give back."""
    claimed = current_job.get()
    return claimed is not None and claimed.attempt > 1


def given_back(work: Sequence[tuple[str, int]]) -> list[Job | None]:
    """Return for each piece of work (hash, window in seconds) the job that an earlier attempt submitted, or None.

    Jobs of equal work, which a type without a window may have, are given back one after the other.
    """
    claimed = current_job.get()
    if claimed is None or claimed.attempt <= 1 or not work:
        return [None] * len(work)
    earlier = _submitted_earlier(claimed.pk, claimed.attempt, sorted({key for key, _ in work}))
    if not earlier:
        return [None] * len(work)
    with claimed.given_back.lock:
        return [_next(claimed.given_back, earlier[key], window) for key, window in work]


def batch_given_back(asked: Batch) -> Batch | None:
    """Return the batch that an earlier attempt made by the same call, or None; one after the other, as jobs."""
    claimed = current_job.get()
    if claimed is None or claimed.attempt <= 1:
        return None
    rows = Batch.primary.filter(submitted_by_id=claimed.pk, submitted_by_attempt__lt=claimed.attempt)
    earlier = rows.filter(canceled_at__isnull=True).order_by("pk")
    same = [batch for batch in earlier if all(getattr(batch, name) == getattr(asked, name) for name in _SAME)]
    with claimed.given_back.lock:
        return _next(claimed.given_back, same, 0)


def _submitted_earlier(pk: int, attempt: int, keys: list[str]) -> dict[str, list[Job]]:
    found: dict[str, list[Job]] = defaultdict(list)
    rows = Job.primary.filter(submitted_by_id=pk, submitted_by_attempt__lt=attempt)
    for start in range(0, len(keys), AT_ONCE):
        chunk = rows.filter(job_hash__in=keys[start : start + AT_ONCE]).exclude(status__in=sorted(UNSUCCESSFUL))
        for job in chunk.order_by("pk"):
            found[job.job_hash].append(job)
    return found


def _next(given: GivenBack, earlier: list[Made], window: int) -> Made | None:
    connection = database.connection()
    transaction = connection.atomic_blocks[0] if connection.atomic_blocks else None
    for made in earlier:
        key = (made._meta.model_name, made.pk)
        if not given.has(key, transaction):
            given.add(key, transaction)
            return made
    # Within a window, the same work is one job however often it is submitted.
    return earlier[-1] if earlier and window else None
