"""Jobs that died of an error, their groups in the admin, and orders to replay one."""

from __future__ import annotations

from typing import Any

from django.test import Client

from django_jobs.engine.control import replays
from django_jobs.models import Job, JobType, Organization
from tests.support.admin import url
from tests.support.brokers import end, pending_job, raised, start


def die(kind: JobType, organization: Organization, message: str = "it failed", traceback: str = "") -> Job:
    claimed = start(pending_job(kind, organization))
    return end(raised(claimed, "Permanent", text=message, traceback=traceback))


def group(job: Job) -> str:
    """The address of the job's group."""
    return f"{url('deadletter', 'group')}?type={job.job_type_id}&error={job.error_fingerprint}"


def order(client: Client, job: Job, verb: str = "retry", per_minute: Any = replays.MAX_PER_MINUTE) -> Any:
    return client.post(group(job), {"verb": verb, "per_minute": per_minute}, follow=True)
