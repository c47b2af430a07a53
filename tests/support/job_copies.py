"""Many rows like that of one job, on any database. They have neither logs nor anything else beside their rows."""

from __future__ import annotations

import copy

from django_jobs.models import Job


def copies(pattern: Job, count: int) -> list[int]:
    """Insert so many jobs like this one, and return their keys."""
    jobs = [copy.copy(pattern) for _ in range(count)]
    for job in jobs:
        job.pk, job._state = None, copy.copy(pattern._state)
        job._state.adding = True
    return [job.pk for job in Job.objects.bulk_create(jobs)]
