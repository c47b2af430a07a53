"""Catch the jobs that are submitted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from django_jobs.engine.insight import events
from django_jobs.engine.ports import broker_in_place
from django_jobs.models import Job
from django_jobs.testing.memory_broker import MemoryBroker


@contextlib.contextmanager
def captured_jobs() -> Iterator[list[Job]]:
    """Yield a list that gets each job submitted inside the block; none of them is dispatched, Redis is left alone.

    They are real rows, and stay Pending: :func:`~django_jobs.testing.run_jobs` may run them. At the end of the block
    those whose transaction was rolled back leave the list.
    """
    jobs: list[Job] = []
    events.watchers.append(jobs.append)
    try:
        # A job stays Pending as long as the broker cannot be reached.
        with broker_in_place(MemoryBroker(is_down=True)):
            yield jobs
    finally:
        events.watchers.remove(jobs.append)
    # The key of a job that was rolled back may have been used again: the later job counts.
    latest = {job.pk: job for job in jobs}
    kept = set(Job.primary.filter(pk__in=latest).values_list("pk", flat=True))
    jobs[:] = [job for pk, job in latest.items() if pk in kept]
