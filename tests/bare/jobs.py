from __future__ import annotations

from django_jobs import JobContext, job_handler


@job_handler("nothing")
def nothing(context: JobContext) -> None:
    """Do nothing: what is looked at is the process."""


@job_handler("refused", max_retries=0)
def refused(context: JobContext) -> None:
    """Fail, since what is made of an error is part of what a process loads."""
    raise ValueError("refused")
