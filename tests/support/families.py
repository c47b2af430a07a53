"""Jobs that wait for each other, and what happens to them without a worker process."""

from __future__ import annotations

from typing import Any

from django_jobs import submit_job
from django_jobs.models import Job, JobType, Organization
from django_jobs.statuses import DISPATCHABLE, RunAfter, Status
from tests.support import verbs
from tests.support.brokers import WORKER, end, raised, reread, returned, start, ticket_of
from tests.support.verbs import NOW, Claimed, Move


class Submitter:
    """Submits jobs of one type and organization, each with the parents that are given."""

    def __init__(self, kind: JobType, organization: Organization) -> None:
        self.kind = kind
        self.organization = organization

    def __call__(self, *parents: Job | str, **fields: Any) -> Job:
        return submit_job(self.kind, self.organization, depends_on=list(parents), **fields)


def run_after_ended(job: Job) -> Job:
    """The job, submitted just now, as one that needs its parents only to end."""
    Job.objects.filter(pk=job.pk).update(run_after=RunAfter.ENDED)
    return reread(job)


def complete(*jobs: Job) -> None:
    for job in jobs:
        end(returned(start(job)))


def kill(*jobs: Job) -> None:
    """Let them end as Dead Letter by an error of their own."""
    for job in jobs:
        end(raised(start(job), "Permanent"))


def claim_all(jobs: list[Job]) -> list[Claimed]:
    """The next attempts of those that wait and that nobody else takes at this moment, in two sets."""
    values = {"queued_at": NOW, "ready_at": None, "next_retry_at": None}
    moves = [Move(pk=job.pk, to_status=Status.QUEUED, values=values) for job in jobs]
    queued = verbs.move(moves, verbs.Terms(sources=DISPATCHABLE, actor=verbs.user_named("test"), skip_locked=True))
    by_pk = {job.pk: job for job in jobs}
    return verbs.claim([ticket_of(by_pk[item.pk]) for item in queued], WORKER)


def statuses(*jobs: Job) -> list[str]:
    return [reread(job).status for job in jobs]


def is_ready(job: Job) -> bool:
    return reread(job).ready_at is not None


def dead_family(submit: Submitter) -> tuple[Job, Job, Job]:
    """A job that died, and two generations that died with it."""
    root = submit()
    child = submit(root)
    grandchild = submit(child)
    verbs.follow_up()
    kill(root)
    verbs.follow_up()
    return root, child, grandchild
