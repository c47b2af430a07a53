"""What a job may read of the jobs before it: their results and files, never those of another organization."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from django.core.files.storage import default_storage

from django_jobs import Status, get_job_status
from django_jobs.exceptions import PermanentError
from django_jobs.models import Job
from example_project.shop.mailing import Attachment

if TYPE_CHECKING:
    from django_jobs import JobContext, JobStatus

#: Their handlers return nothing but references that ``save_output`` made; any other would be mere text.
REPORT_TYPES: Final = ("pdf_generation", "generate_report")


def parents_of(context: JobContext, *job_types: str) -> list[JobStatus]:
    """Return the jobs of these types that this job depends on. They are Completed, otherwise it would not run."""
    parents = [get_job_status(job_id) for job_id in get_job_status(context.job_id).depends_on]
    return [parent for parent in parents if parent.job_type in job_types]


def reports_for(context: JobContext, job_id: str | None) -> list[JobStatus]:
    """Return the report of this job id, or the reports that the job depends on. PermanentError if there is none."""
    reports = [named_report(context, job_id)] if job_id else parents_of(context, *REPORT_TYPES)
    if not reports:
        raise PermanentError("No report to send: give 'report_job', or make the job depend on a report.")
    return reports


def named_report(context: JobContext, job_id: str) -> JobStatus:
    try:
        # By the tenant's key: ids may pass to another tenant.
        job = Job.objects.filter(organization_id=context.organization_pk, job_type__in=REPORT_TYPES).by_id(job_id)
    except Job.DoesNotExist:
        # The same words for what is another organization's: that it exists is not told.
        raise PermanentError(f"{context.organization} has no report {job_id}.") from None
    report = get_job_status(job)
    if report.status != Status.COMPLETED:
        raise PermanentError(f"{job_id} is {report.status}. A job with depends_on={job_id!r} waits until it is done.")
    return report


def attachment_of(report: JobStatus) -> Attachment:
    """Return the report's PDF. PermanentError if it was deleted meanwhile."""
    reference = report.output_reference or ""
    try:
        with default_storage.open(reference) as file:
            return Attachment(PurePosixPath(reference).name, file.read(), "application/pdf")
    except FileNotFoundError:
        raise PermanentError(f"The file of {report.job_id} is no longer there.") from None
