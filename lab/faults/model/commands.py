"""What can happen, each as a pair: what the model makes of it, and the call of the engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from django_jobs import cancel_job, retry_job
from django_jobs.models import Job
from django_jobs.statuses import Status
from lab.faults.model.engine import Attempt, Engine, Row
from lab.faults.model.job import ModelJob
from lab.faults.model.table import Table
from tests.support import verbs

Seen = Mapping[int, Row]


class Command(ABC):
    """Something that happens. The model raises Refused where the engine must raise the exception of that name."""

    #: Whether rows that somebody else holds are left out, so that beside another command nothing may come of it.
    skips: bool = False

    @abstractmethod
    def model(self, table: Table, seen: Seen) -> None:
        """Do it to the model. ``seen`` are the rows afterwards, for what the contract leaves open."""

    @abstractmethod
    def engine(self, engine: Engine) -> None:
        """Do it."""


@dataclass(frozen=True)
class Dispatch(Command):
    """All that may go gets a ticket, since there is a worker that wants many."""

    skips = True

    def model(self, table: Table, seen: Seen) -> None:
        for job in table.jobs.values():
            if table.may_be_dispatched(job):
                table.queue(job)

    def engine(self, engine: Engine) -> None:
        verbs.dispatch()


@dataclass(frozen=True)
class Claim(Command):
    """A worker claims these jobs' next attempts, by good tickets."""

    pks: tuple[int, ...]
    worker: str
    skips = True

    def model(self, table: Table, seen: Seen) -> None:
        for pk in self.pks:
            job = table.jobs[pk]
            if job.status != Status.QUEUED:
                continue
            if job.expires is not None and job.expires <= table.now:
                table.end(job, Status.CANCELED)
            elif job.kind in table.paused or job.organization in table.suspended:
                table.wait(job)
            else:
                table.run(job, self.worker)

    def engine(self, engine: Engine) -> None:
        wanted = engine.tickets_of(self.pks)
        for queue in engine.broker.queues.values():
            for ticket in [ticket for ticket in queue if ticket in wanted]:
                queue.remove(ticket)
        engine.claim(wanted, self.worker)


@dataclass(frozen=True)
class ClaimTwice(Claim):
    """The same tickets once more, as after a failover of Redis: nothing comes of it."""

    def model(self, table: Table, seen: Seen) -> None:
        pass

    def engine(self, engine: Engine) -> None:
        old = [ticket for ticket in engine.tickets_of(self.pks) if ticket.attempt > 1]
        engine.claim([ticket.__class__(ticket.pk, ticket.year, ticket.attempt - 1, 0) for ticket in old], self.worker)


@dataclass(frozen=True)
class Settle(Command):
    """An attempt reports how it ended; that of one that lost its job is not stored."""

    attempt: Attempt
    how: str
    skips = True

    def model(self, table: Table, seen: Seen) -> None:
        claimed = self.attempt.claimed
        job = table.jobs.get(claimed.pk)
        if job is None or (job.status, job.attempt) != (Status.RUNNING, claimed.attempt):
            return
        job.begun = job.attempt
        if self.how == "returned":
            table.end(job, Status.COMPLETED)
        elif job.cancel:
            table.end(job, Status.CANCELED)
        elif self.how == "later":
            table.wait(job, 100)
            job.run_at, job.worker = job.ready or 0, ""
        elif self.how == "interrupted":
            table.requeue(job)
        elif self.how == "failed for good":
            table.end(job, Status.DEAD_LETTER)
        else:
            table.fail(job, Status.FAILED if self.how == "failed" else Status.TIMED_OUT)

    def engine(self, engine: Engine) -> None:
        engine.settle(self.attempt, self.how)


@dataclass(frozen=True)
class Cancel(Command):
    pk: int

    def model(self, table: Table, seen: Seen) -> None:
        table.cancel(table.jobs[self.pk])

    def engine(self, engine: Engine) -> None:
        cancel_job(Job.primary.get(pk=self.pk))


@dataclass(frozen=True)
class Retry(Command):
    pk: int

    def model(self, table: Table, seen: Seen) -> None:
        table.retry(table.jobs[self.pk])

    def engine(self, engine: Engine) -> None:
        retry_job(Job.primary.get(pk=self.pk))


def running(table: Table, worker: str | None = None) -> list[ModelJob]:
    """The jobs that run, of one worker or of all."""
    jobs = sorted(table.jobs.values(), key=lambda job: job.pk)
    return [job for job in jobs if job.status == Status.RUNNING and worker in {None, job.worker}]
