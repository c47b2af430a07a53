"""A scheduler's ticks on a clock that a test moves."""

from __future__ import annotations

import datetime as dt

from django_jobs.models import Job
from tests.support import verbs
from tests.support.brokers import running_job
from tests.support.clocks import Clock
from tests.support.verbs import Scheduler


def expired_job() -> Job:
    """A job that runs by a lease that ran out."""
    job, _ = running_job()
    Job.objects.filter(pk=job.pk).update(lease_expires_at=verbs.now() - dt.timedelta(seconds=1))
    return job


def tick_for(leader: Scheduler, clock: Clock, seconds: int) -> None:
    """A tick a second."""
    for _ in range(seconds):
        leader.tick()
        clock.now += 1
