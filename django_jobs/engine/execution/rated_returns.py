"""Attempts that go back, of types with a rate of starts: their jobs wait for the dispatcher, who counts the next start.

In the queue they would start once more than the rate allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from django.db.models import Q

from django_jobs.engine.transitions import After, Move
from django_jobs.models import Job, JobType
from django_jobs.statuses import Status

_HAS_RATE = Q(max_starts__isnull=False) | Q(max_starts_per_key__isnull=False)


def by_dispatch(jobs: Sequence[Job], moves: Sequence[Move]) -> list[Move]:
    """Return the moves as they are to be: those to Queued go to Pending where the type has a rate."""
    asked = {job.job_type_id for job, item in zip(jobs, moves, strict=True) if item.to_status == Status.QUEUED}
    rated = set(JobType.primary.filter(_HAS_RATE, pk__in=asked).values_list("pk", flat=True)) if asked else set()
    return [
        _waiting(item) if item.to_status == Status.QUEUED and job.job_type_id in rated else item
        for job, item in zip(jobs, moves, strict=True)
    ]


def _waiting(item: Move) -> Move:
    values = {**item.values, "queued_at": None, "ready_at": After(0.0)}
    return replace(item, to_status=Status.PENDING, values=values)
