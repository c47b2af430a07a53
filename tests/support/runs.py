"""Jobs that ran for so long."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django_jobs.models import Job
from tests.support import verbs
from tests.support.brokers import job_in


def ran_for(seconds: float, job_type: Any = None, ago: float = 60, **fields: Any) -> Job:
    """A job that completed ``ago`` seconds ago after so many seconds."""
    job = job_in("Completed", job_type=job_type, **fields)
    end = verbs.now() - dt.timedelta(seconds=ago)
    Job.objects.filter(pk=job.pk).update(started_at=end - dt.timedelta(seconds=seconds), completed_at=end)
    return job
