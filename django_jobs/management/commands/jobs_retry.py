"""``manage.py jobs_retry``: let jobs that failed start over."""

from __future__ import annotations

from django_jobs.management.jobs import NamedJobsCommand
from django_jobs.models import Operation
from django_jobs.statuses import Status


class Command(NamedJobsCommand):
    help = (
        "Lets jobs that failed start over, with all their retries: by their ids, or all that match a filter (by "
        "default the dead letters of them), in the background. Exit codes: docs/commands.md."
    )
    action = Operation.Action.RETRY
    default_status = str(Status.DEAD_LETTER)
