"""A broker in memory, and jobs that the engine itself brings to a status through it, without a worker process."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Final

from django_jobs.engine import outcomes
from django_jobs.engine.claim import Claimed, claim
from django_jobs.engine.control import cancel_job
from django_jobs.engine.ports import Look, Ticket
from django_jobs.engine.settle import settle
from django_jobs.engine.submission import submit_job
from django_jobs.engine.transitions import NOW, Move, move
from django_jobs.exceptions import BrokerUnavailable
from django_jobs.models import Job
from django_jobs.statuses import DISPATCHABLE, Priority, Status
from tests.support.factories import make_job_type, make_organization

WORKER: Final = "worker-1"


class MemoryBroker:
    """What a test may look into and break: set ``is_down``, and every call fails as it does without Redis."""

    def __init__(self) -> None:
        self.queues: dict[int, deque[Ticket]] = {int(priority): deque() for priority in Priority}
        self.marker: str | None = None
        self.hints: list[tuple[str, list[str]]] = []
        self.is_down = False
        self.rings = 0

    def push(self, tickets: Sequence[Ticket], *, front: bool = False) -> None:
        self._reach()
        for ticket in reversed(tickets) if front else tickets:
            queue = self.queues[ticket.priority]
            if front:
                queue.appendleft(ticket)
            else:
                queue.append(ticket)

    def look(self) -> Look:
        return Look(self.depths(), self.rings)

    def ring(self) -> None:
        self._reach()
        self.rings += 1

    def depths(self) -> dict[int, int]:
        self._reach()
        return {priority: len(queue) for priority, queue in self.queues.items()}

    def waiting_ids(self) -> set[str]:
        self._reach()
        return {ticket.id for ticket in self.tickets}

    def installation(self) -> str | None:
        self._reach()
        return self.marker

    def mark(self, installation: str) -> bool:
        self._reach()
        self.marker = self.marker or installation
        return self.marker == installation

    def request_cancel(self, worker_name: str, job_ids: Iterable[str]) -> None:
        self._reach()
        self.hints.append((worker_name, list(job_ids)))

    def eviction_policy(self) -> str:
        self._reach()
        return "noeviction"

    def foreign_ids(self) -> list[str]:
        self._reach()
        return []

    def _reach(self) -> None:
        if self.is_down:
            raise BrokerUnavailable("the test says so")

    @property
    def tickets(self) -> list[Ticket]:
        """Everything that waits, in the order in which workers would get it."""
        return [ticket for priority in sorted(self.queues, reverse=True) for ticket in self.queues[priority]]

    def pks(self) -> list[int]:
        """The jobs of :attr:`tickets`."""
        return [ticket.pk for ticket in self.tickets]

    def take_all(self) -> list[Ticket]:
        """Pop everything, as workers do."""
        taken = self.tickets
        self.lose_tickets()
        return taken

    def lose_tickets(self) -> None:
        """Single tickets go, the installation's mark stays."""
        for queue in self.queues.values():
            queue.clear()

    def lose_everything(self) -> None:
        """As after FLUSHALL."""
        self.lose_tickets()
        self.marker = None


def ticket_of(job: Job) -> Ticket:
    """The ticket that lets a worker claim the job's next attempt."""
    return Ticket(job.pk, job.created_at.year, job.attempt + 1, job.priority)


def pending_job(job_type: Any = None, organization: Any = None, **fields: Any) -> Job:
    """A submitted job; of a new type and organization unless they are given. ``fields`` are the submission's."""
    return submit_job(job_type or make_job_type(), organization or make_organization(), **fields)


def queue_up(job: Job) -> Job:
    """The job with a ticket, and no other job touched by it."""
    values = {"queued_at": NOW, "ready_at": None, "next_retry_at": None}
    move([Move(pk=job.pk, to_status=Status.QUEUED, values=values)], sources=DISPATCHABLE, actor="system")
    return reread(job)


def start(job: Job, worker_name: str = WORKER) -> Claimed:
    """A waiting job's next attempt, claimed by a worker."""
    (claimed,) = claim([ticket_of(queue_up(job))], worker_name)
    return claimed


def running_job(worker_name: str = WORKER, **fields: Any) -> tuple[Job, Claimed]:
    """A job and the attempt that a worker has claimed of it."""
    job = pending_job(**fields)
    claimed = start(job, worker_name)
    return reread(job), claimed


def end(outcome: outcomes.Outcome) -> Job:
    """Settle one attempt and return its job."""
    settle([outcome], WORKER)
    return Job.objects.get(pk=outcome.claimed.pk)


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
    return Job.objects.get(pk=job.pk)
