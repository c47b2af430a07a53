"""Whether an attempt still owns its job: as the database knows, and as its worker can know without asking."""

from __future__ import annotations

from django_jobs.conf import jobs_settings
from django_jobs.engine import uptime
from django_jobs.engine.claimed_job import Claimed
from django_jobs.engine.store.chosen import store
from django_jobs.models import Job
from django_jobs.statuses import Status


def is_owned(pk: int, attempt: int, worker_name: str) -> bool:
    """Return whether this worker's attempt runs the job by a lease that lasts.

    A lease that ran out gives no right any more, also while nobody has taken the job yet. No two claims of a job have
    the same attempt, except where a fail-over lost the first: then another worker has the second.
    """
    rows = Job.primary.filter(pk=pk, attempt=attempt, worker_name=worker_name, status=Status.RUNNING)
    return rows.extra(where=[f"lease_expires_at > {store().sql_now()}"]).exists()  # noqa: S610  (no value is in it)


def has_run_out(claimed: Claimed, renewed: float) -> bool:
    """Return whether an attempt's lease is over, as far as its worker can know without asking the database.

    ``renewed`` is a moment before the last renewal that succeeded, on the clock of ``engine.uptime``; 0: none did.
    """
    return uptime.seconds() - max(claimed.claimed_at, renewed) > float(jobs_settings.LEASE_SECONDS)
