"""Jobs that saved a file."""

from __future__ import annotations

from typing import Any

from django_jobs.models import Job, Organization
from tests.support import verbs
from tests.support.brokers import end, pending_job, returned, start


def finished_with_file(
    organization: Organization, job_type: Any = None, *, filename: str = "report <b>.pdf", content: bytes = b"%PDF"
) -> Job:
    """A job that saved a file and returned its reference."""
    attempt = start(pending_job(job_type, organization))
    reference = verbs.save_output(organization.pk, attempt.job_id, filename, content)
    return end(returned(attempt, {"output_reference": reference, "rows": 3}, reference))
