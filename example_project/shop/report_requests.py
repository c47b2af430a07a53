"""Requests for reports: the shop's own rows, which the jobs themselves fill in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction

from django_jobs import submit_job
from django_jobs.models import Organization
from example_project.shop.models import ReportRequest

if TYPE_CHECKING:
    from django_jobs import JobStatus


def request_report(organization: Organization, parameters: dict[str, Any] | None = None) -> ReportRequest:
    """A request whose ``pdf_file`` a child job fills in when the report is done.

    Row and jobs are one transaction: either all of them are there or none.
    """
    with transaction.atomic():
        request = ReportRequest.objects.create(organization=organization)
        report = submit_job("pdf_generation", organization, parameters, on_duplicate="return")
        submit_job("report_ready", organization, {"request": request.name}, depends_on=report)
        request.job_id = report.name
        request.save(update_fields=["job_id"])
    return request


def fulfil(organization_pk: Any, name: str, report: JobStatus) -> bool:
    """Note the report's file. Return whether the organization has a request of this name."""
    return note_file(organization_pk, name, report.job_id, report.output_reference or "")


def note_file(organization_pk: Any, name: str, job_id: str, reference: str) -> bool:
    """Note the file by one statement that may be repeated, because a job runs at least once."""
    requests = ReportRequest.objects.filter(organization_id=organization_pk, name=name)
    return bool(requests.update(job_id=job_id, pdf_file=reference))
