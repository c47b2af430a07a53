"""What workers, the scheduler, administrators and time do to jobs, whoever submitted them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from django_jobs.models import JobType, Organization
from django_jobs.statuses import TERMINAL, Status
from lab.faults.model.commands import Command, Seen, running
from lab.faults.model.engine import WORKERS, Engine
from lab.faults.model.table import LEASE, Table
from tests.support import verbs
from tests.support.deletions import delete_jobs
from tests.support.verbs import Pruner, TicketWatch


@dataclass(frozen=True)
class Renew(Command):
    worker: str
    skips = True

    def model(self, table: Table, seen: Seen) -> None:
        for job in running(table, self.worker):
            job.lease = table.now + LEASE

    def engine(self, engine: Engine) -> None:
        verbs.renew_leases([self.worker])


@dataclass(frozen=True)
class SeeBegun(Command):
    """The supervisor saw for a second that the handler of this attempt runs."""

    pk: int
    attempt: int
    skips = True

    def model(self, table: Table, seen: Seen) -> None:
        job = table.jobs[self.pk]
        if (job.status, job.attempt) == (Status.RUNNING, self.attempt):
            job.begun = self.attempt

    def engine(self, engine: Engine) -> None:
        verbs.note_begun([(self.pk, self.attempt)], WORKERS)


@dataclass(frozen=True)
class Rescue(Command):
    skips = True

    def model(self, table: Table, seen: Seen) -> None:
        for job in running(table):
            if job.lease is not None and job.lease <= table.now:
                table.rescue(job)

    def engine(self, engine: Engine) -> None:
        verbs.rescue_expired()


@dataclass(frozen=True)
class WorkerDies(Command):
    """A worker's process dies; of what it had claimed, these handlers had begun."""

    worker: str
    begun: frozenset[tuple[int, int]]
    skips = True

    def model(self, table: Table, seen: Seen) -> None:
        held = running(table, self.worker)
        for job in held:
            if (job.pk, job.attempt) in self.begun:
                table.lose(job)
            else:
                table.return_unbegun(job, is_alone=len(held) == 1 and not self.begun)

    def engine(self, engine: Engine) -> None:
        engine.lose_worker(self.worker, self.begun)


@dataclass(frozen=True)
class Expire(Command):
    skips = True

    def model(self, table: Table, seen: Seen) -> None:
        table.expire()

    def engine(self, engine: Engine) -> None:
        verbs.expire_jobs()


@dataclass(frozen=True)
class FollowUp(Command):
    """The scheduler's duties that find nothing to do, since what they look for was done at once."""

    def model(self, table: Table, seen: Seen) -> None:
        pass

    def engine(self, engine: Engine) -> None:
        verbs.follow_up()
        verbs.forget_expired_keys()


@dataclass(frozen=True)
class LoseTickets(Command):
    """Redis is emptied, and the scheduler looks twice."""

    def model(self, table: Table, seen: Seen) -> None:
        pass

    def engine(self, engine: Engine) -> None:
        engine.broker.lose_tickets()
        watch = TicketWatch()
        watch.reissue_lost()
        watch.reissue_lost()


@dataclass(frozen=True)
class Pause(Command):
    """Pause a job type, or let it go on."""

    kind: str

    def model(self, table: Table, seen: Seen) -> None:
        table.paused ^= {self.kind}

    def engine(self, engine: Engine) -> None:
        kind = JobType.objects.get(pk=self.kind)
        kind.is_paused = not kind.is_paused
        kind.save()


@dataclass(frozen=True)
class Suspend(Command):
    """Suspend an organization, or let it go on."""

    organization: str

    def model(self, table: Table, seen: Seen) -> None:
        table.suspended ^= {self.organization}

    def engine(self, engine: Engine) -> None:
        tenant = Organization.objects.get(name=self.organization)
        tenant.is_active = not tenant.is_active
        tenant.save()


@dataclass(frozen=True)
class Delete(Command):
    pk: int
    release_children: bool

    def model(self, table: Table, seen: Seen) -> None:
        is_kept = not self.release_children and table.is_needed(self.pk)
        if table.jobs[self.pk].status in TERMINAL and not is_kept:
            table.delete([self.pk])

    def engine(self, engine: Engine) -> None:
        delete_jobs([self.pk], release_children=self.release_children)


@dataclass(frozen=True)
class Prune(Command):
    def model(self, table: Table, seen: Seen) -> None:
        table.delete(list(table.old()))

    def engine(self, engine: Engine) -> None:
        Pruner().prune(math.inf)


@dataclass(frozen=True)
class Clock(Command):
    seconds: int

    def model(self, table: Table, seen: Seen) -> None:
        table.now += self.seconds

    def engine(self, engine: Engine) -> None:
        engine.move_clock(self.seconds)
