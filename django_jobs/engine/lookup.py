"""Finding a job on behalf of somebody."""

from __future__ import annotations

from typing import Any

from django_jobs.engine import database
from django_jobs.exceptions import JobNotFound
from django_jobs.models import Job


def find_job(job_id: str | Job, user: Any = None) -> Job:
    """The job with this id, read afresh. JobNotFound when there is none, or none that ``user`` may know of."""
    name = job_id.name if isinstance(job_id, Job) else job_id
    rows = Job.objects.using(database.alias())
    if user is not None:
        rows = rows.visible_to(user)
    try:
        return rows.by_id(name)
    except Job.DoesNotExist as error:
        raise JobNotFound(f"There is no job {name!r}.") from error
