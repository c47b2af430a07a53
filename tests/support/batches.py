"""Batches with jobs in given statuses."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django_jobs import create_batch, get_batch_status, submit_job
from django_jobs.models import Batch, Job, JobType, Organization
from tests.support import verbs
from tests.support.factories import make_job_type

#: Handlers of jobs that end as the key says.
HANDLERS = {"Completed": "do_nothing", "Dead Letter": "fail_for_good", "Failed": "fail_for_now"}


def make_batch(organization: Organization, *endings: str, close: bool = True, **fields: Any) -> Batch:
    """A batch with a job for each of these endings, which it comes to when it runs."""
    batch = create_batch(organization, **fields)
    for ending in endings:
        batch.submit(make_job_type(HANDLERS[ending]))
    if close:
        batch.close()
    return batch


def add(batch: Batch, kind: JobType, **keywords: Any) -> Job:
    """Submit a job into a batch by the plain call."""
    return submit_job(kind, batch.organization, batch=batch, **keywords)


def state(batch: Batch) -> str:
    return get_batch_status(batch.batch_id).state


def counts(batch: Batch) -> dict[str, int]:
    """The statuses that some of its jobs are in, and how many."""
    return {status: count for status, count in get_batch_status(batch).by_status.items() if count}


def expire(batch: Batch) -> None:
    """Let so much time go by that the scheduler closes the batch, which nobody else closed."""
    batch.created_at = verbs.now() - dt.timedelta(days=31)  # on the object, too: its id tells the year
    batch.save(update_fields=["created_at"])
    assert verbs.expire_batches() == 1


def tick() -> None:
    """What the scheduler does for batches."""
    verbs.do_batch_duties()
