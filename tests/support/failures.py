"""Jobs that failed, their groups in the admin, and what its buttons post."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.test import Client

from django_jobs.models import Job, JobType, Organization
from tests.support.admin import url
from tests.support.brokers import end, pending_job, raised, start
from tests.support.verbs import OPERATIONS_A_MINUTE


def die(kind: JobType, organization: Organization, message: str = "it failed", traceback: str = "") -> Job:
    claimed = start(pending_job(kind, organization))
    return end(raised(claimed, "Permanent", text=message, traceback=traceback))


def group(job: Job) -> str:
    """The address of the job's group."""
    return f"{url('failure', 'group')}?job_type={job.job_type_id}&error_fingerprint={job.error_fingerprint}"


def press(client: Client, job: Job, action: str, **fields: Any) -> Any:
    """Press a button of the job's group."""
    named = {"job_type": job.job_type_id, "error_fingerprint": job.error_fingerprint, "action": action}
    return client.post(url("failure", "act"), named | fields, follow=True)


#: Which jobs of a group an act is about.
ABOUT = {"retry": ["Dead Letter", "Failed", "Timed Out"], "cancel": ["Failed", "Timed Out"], "delete": ["Dead Letter"]}


def all_of(job: Job, verb: str, **narrowed: str) -> str:
    """The page that asks before something is done to all of the job's group."""
    named = {"job_type": job.job_type_id, **narrowed, "error_fingerprint": job.error_fingerprint}
    return f"{url('job', f'all_{verb}')}?{urlencode({**named, 'status': ABOUT[verb]}, doseq=True)}"


def order(client: Client, job: Job, verb: str = "retry", per_minute: Any = OPERATIONS_A_MINUTE) -> Any:
    return client.post(all_of(job, verb), {"rate": per_minute}, follow=True)
