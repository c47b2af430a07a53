"""Waits until all jobs have ended."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

from django_jobs.models import Job
from django_jobs.statuses import UNFINISHED
from tests.support import verbs

#: Seconds within which another job ends, however slow the machine.
PATIENCE: Final = 120.0
TICK: Final = 0.2


def drain(meanwhile: Callable[[], object] = lambda: None) -> list[str]:
    """Wait until all jobs have ended, or none ends any more; return which have not, in sentences."""
    rows = Job.primary.filter(status__in=UNFINISHED)
    fewest, until = math.inf, 0.0
    while left := rows.count():
        if left < fewest:
            fewest, until = left, time.monotonic() + PATIENCE
        if time.monotonic() > until:
            break
        meanwhile()
        time.sleep(TICK)
    jobs = verbs.describe_jobs(list(rows.order_by("pk")[:20]))
    return [f"{job.job_id} ({job.job_type}) has not ended: {job.status}, waits for {job.waiting_for}." for job in jobs]
