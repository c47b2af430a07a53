"""A job on its way: put off by its handler, come due, and given the chance to run."""

from __future__ import annotations

from django_jobs.models import Job
from tests.support import verbs
from tests.support.brokers import WORKER, end, reread, start, ticket_of
from tests.support.verbs import outcomes


def postponed(job: Job, delay: float = 60.0) -> Job:
    """The job after its handler asked to run later."""
    return end(outcomes.Postponed(claimed=start(job), delay=delay, text="the office is closed"))


def come_due(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(ready_at=verbs.now())


def try_to_run(job: Job) -> Job:
    """The job after dispatcher and worker had their chance, whatever the worker believed a moment ago."""
    verbs.dispatch()
    verbs.forget_claim_verdicts()
    verbs.claim([ticket_of(reread(job))], WORKER)
    return reread(job)
