"""Adding new jobs to their batches, in the transaction that stores them.

The batch's row is locked in a way that others who add jobs share. Whoever closes or ends the batch waits for them, and
so knows of every job that counts. A job that fails or waits decides what follows the batch, and when. So a user adds
jobs only where they may cancel the batch, or where it is open to members.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from django_jobs.engine.claimed_job import current_job
from django_jobs.engine.store import database
from django_jobs.engine.store.chosen import store
from django_jobs.engine.submission import resubmission
from django_jobs.engine.submission.building import Request
from django_jobs.engine.submission.rights import belongs, may_cancel_batch
from django_jobs.exceptions import InvalidSubmission
from django_jobs.models import Batch, BatchChange, Job
from django_jobs.statuses import AWAITING_TURN, OpenTo, Status
from django_jobs.texts import say


class BatchTakesNoJobs(InvalidSubmission):
    """Some of the batches take no jobs; ``by_batch`` has by their keys why."""

    def __init__(self, by_batch: Mapping[int, str]) -> None:
        super().__init__({"batch": list(by_batch.values())})
        self.by_batch = by_batch


def may_add(user: Any, batch: Batch, organization: Any) -> bool:
    """Return whether a job of this owner may come into the batch of their organization. Server code, None, may add.

    A batch of server code takes no user's jobs, since it may submit what no user may. The job whose handler made the
    batch may add to it, and so may the batch's own jobs, whoever owns them.
    """
    if user is None:
        return True
    if batch.open_to == OpenTo.MEMBERS:
        is_open = belongs(user, organization)
    else:
        is_open = bool(batch.owner_name) and may_cancel_batch(user, batch)
    return is_open or resubmission.submitter()[0] == (batch.submitted_by_id or 0) or _runs_for(batch)


def may_replace(existing: Job, user: Any, organization: Any) -> bool:
    """Return whether a submission of this owner may change the earlier job of the same work, as far as its batch says.

    A job that has started is not changed: there is a new one.
    """
    if user is None or existing.batch_id is None or existing.status not in AWAITING_TURN:
        return True
    batch = Batch.primary.filter(pk=existing.batch_id).first()
    return batch is None or may_add(user, batch, organization)


def lock(requests: Sequence[Request]) -> None:
    """Hold the batches of these open until the transaction ends. Raise BatchTakesNoJobs where one takes no jobs."""
    wanted = sorted({request.fields.batch.pk for request in requests if request.fields.batch is not None})
    if not wanted:
        return
    found = {batch.pk: batch for batch in store().share_batches(wanted)}
    hindrances = {pk: text for pk in wanted if (text := _hindrance(found.get(pk)))}
    if hindrances:
        raise BatchTakesNoJobs(hindrances)


def _hindrance(batch: Batch | None) -> str | None:
    """Return why the batch takes no jobs, in words; None where it does."""
    if batch is None:
        return say("This batch was deleted.", code="deleted")
    if batch.canceled_at is not None:
        return say("%(batch)s was canceled: it takes no more jobs.", code="canceled", batch=batch.batch_id)
    if batch.closed_at is None or _runs_for(batch):
        return None
    if batch.completed_at is not None:
        text = "%(batch)s has ended: it takes no more jobs. Make another batch."
        return say(text, code="ended", batch=batch.batch_id)
    text = "%(batch)s is closed: only its own jobs may add jobs to it now."
    return say(text, code="closed", batch=batch.batch_id)


def _runs_for(batch: Batch) -> bool:
    """Return whether the handler that runs here belongs to a job of the batch, which cannot end before that job.

    One that was retried after the batch had ended makes it run again, though its row may not say so yet.
    """
    claimed = current_job.get()
    if claimed is None:
        return False
    rows = Job.primary.filter(pk=claimed.pk, batch_id=batch.pk, status=Status.RUNNING, attempt=claimed.attempt)
    return rows.exists()


def count(requests: Sequence[Request]) -> None:
    """Note how many jobs each batch got."""
    counts = Counter(request.fields.batch.pk for request in requests if request.fields.batch is not None)
    if counts:
        now = database.now()
        changes = [BatchChange(batch_id=pk, changed_at=now, total=number) for pk, number in sorted(counts.items())]
        BatchChange.primary.bulk_create(changes)
