"""A scheduler's ticks on a clock that a test moves, and what it does beside them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import partial
from typing import Any

from django_jobs.models import Job
from tests.support import verbs
from tests.support.brokers import running_job
from tests.support.clocks import Clock
from tests.support.verbs import Scheduler


class WholeScheduler(Scheduler):
    """One that takes the steps of its threads in its ticks, each until there is nothing left to do."""

    def _duties(self) -> dict[str, Callable[[], int]]:
        return super()._duties() | {name: partial(work_off, step) for name, step in self.steps.items()}


def work_off(step: Callable[[], tuple[int, Any]]) -> int:
    """Take a step until it does nothing; return how much was done in all."""
    return sum(iter(lambda: step()[0], 0))


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
