"""A broker in memory, and jobs that the engine itself brings to a status through it, without a worker process."""

from __future__ import annotations

import time
from typing import Any, Final

from django_jobs import cancel_job, submit_job, submit_jobs
from django_jobs.conf import DEFAULT_POOL
from django_jobs.models import Job
from django_jobs.statuses import DISPATCHABLE, Status
from tests.support import verbs
from tests.support.factories import make_job_type, make_organization
from tests.support.memory_broker import MemoryBroker
from tests.support.verbs import NOW, SYSTEM, Claimed, Move, Queue, Ticket, outcomes

__all__ = ["MemoryBroker"]

WORKER: Final = "worker-1"
ALL_QUEUES: Final = ("jobs-critical", "jobs-high", "jobs-normal", "jobs-low")


def queue_for(priority: int, pool: str = DEFAULT_POOL) -> Queue:
    """The queue of a priority; as a rule the default pool's."""
    return Queue(pool, int(priority))


def ticket_of(job: Job, pool: str = DEFAULT_POOL) -> Ticket:
    """The ticket that lets a worker of the pool claim the job's next attempt."""
    return Ticket(job.pk, job.created_at.year, job.attempt + 1, job.priority, pool)


def pending_job(job_type: Any = None, organization: Any = None, **fields: Any) -> Job:
    """A submitted job; of a new type and organization unless they are given. ``fields`` are the submission's."""
    return submit_job(job_type or make_job_type(), organization or make_organization(), **fields)


def pending_jobs(job_type: Any, organization: Any, count: int) -> list[Job]:
    """So many submitted jobs, in their order: many take a fraction of the time of as many single submissions."""
    return submit_jobs([{"job_type": job_type, "organization": organization}] * count)


def queue_up(job: Job) -> Job:
    """The job with a ticket, and no other job touched by it."""
    values = {"queued_at": NOW, "ready_at": None, "next_retry_at": None}
    verbs.move(
        [Move(pk=job.pk, to_status=Status.QUEUED, values=values)], verbs.Terms(sources=DISPATCHABLE, actor=SYSTEM)
    )
    return reread(job)


def start(job: Job, worker_name: str = WORKER) -> Claimed:
    """A waiting job's next attempt, claimed by a worker."""
    (claimed,) = verbs.claim([ticket_of(queue_up(job))], worker_name)
    return claimed


def running_job(worker_name: str = WORKER, **fields: Any) -> tuple[Job, Claimed]:
    """A job and the attempt that a worker has claimed of it."""
    job = pending_job(**fields)
    claimed = start(job, worker_name)
    return reread(job), claimed


def end(outcome: outcomes.Outcome) -> Job:
    """Settle one attempt, in the name in which it was claimed, and return its job."""
    verbs.settle([outcome], outcome.claimed.worker_name)
    return Job.primary.get(pk=outcome.claimed.pk)


def returned(claimed: Claimed, result: Any = None, output_reference: str = "") -> outcomes.Returned:
    """The outcome of a handler that began just now and returned."""
    return outcomes.Returned(
        claimed=claimed, result=result, output_reference=output_reference, started=time.monotonic()
    )


def raised(claimed: Claimed, kind: str = "Transient", **fields: Any) -> outcomes.Raised:
    """The outcome of a handler that failed."""
    return outcomes.Raised(claimed=claimed, kind=kind, **{"text": "it failed", **fields})


def job_in(status: str, **fields: Any) -> Job:
    """A job that the engine has brought to ``status``; ``fields`` are the submission's."""
    job = pending_job(**fields)
    match status:
        case Status.PENDING:
            return job
        case Status.QUEUED:
            return queue_up(job)
        case Status.CANCELED:
            return cancel_job(job)
    claimed = start(job)
    ends = {
        Status.COMPLETED: returned(claimed),
        Status.FAILED: raised(claimed),
        Status.TIMED_OUT: outcomes.TimedOut(claimed=claimed),
        Status.DEAD_LETTER: raised(claimed, "Permanent"),
    }
    return reread(job) if status == Status.RUNNING else end(ends[Status(status)])


def reread(job: Job) -> Job:
    """The job's row as it is now."""
    return Job.primary.get(pk=job.pk)
