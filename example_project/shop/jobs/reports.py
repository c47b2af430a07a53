from __future__ import annotations

from typing import Any

from django.conf import settings

from django_jobs import JobContext, job_handler
from django_jobs.exceptions import PermanentError
from example_project.shop.parameters import ReadyParameters, ReportParameters


@job_handler(
    "generate_report",
    display_name="Sales report as PDF (by its other name)",
    description="The same as pdf_generation.",
    submit_by="members",
    parameters=ReportParameters,
    default_timeout=120,
)
@job_handler(
    "pdf_generation",
    display_name="Sales report as PDF",
    description="The organization's orders of a date range: totals, a chart, rankings and every order.",
    submit_by="members",
    parameters=ReportParameters,
    default_timeout=120,
    schedule=settings.NIGHTLY_REPORT,
)
def pdf_generation(context: JobContext) -> dict[str, Any]:
    """Make the sales report of the job's organization, and note its file in a report request if one is given."""
    from example_project.shop.pdf import draw_report
    from example_project.shop.reports import build_report

    wanted = context.validated_data
    context.update_progress(0, "Reading orders")
    report = build_report(context.get_organization(), wanted.get("date_range"))

    def page_done(page: int, pages: int) -> None:
        # The rest is for storing the file.
        context.update_progress(99 * page // pages, f"Page {page} of {pages}")

    content, pages = draw_report(report, page_done)
    output_path = context.save_output(f"sales-{report.period.start}-to-{report.period.end}.pdf", content)
    if "callback_name" in wanted:
        call_back(context, wanted["callback_name"], output_path)
    return {
        "output_reference": output_path,
        "pages": pages,
        "orders": len(report.orders),
        "total": str(report.total),
    }


def call_back(context: JobContext, name: str, reference: str) -> None:
    from example_project.shop.report_requests import note_file

    if not note_file(context.organization_pk, name, context.job_id, reference):
        raise PermanentError(f"{context.organization} has no report request {name!r}.")


@job_handler(
    "report_ready",
    display_name="Tell a report request of its file",
    description="Submitted to depend on the report; notes that report's file in the request.",
    parameters=ReadyParameters,
    default_timeout=30,
)
def report_ready(context: JobContext) -> None:
    from example_project.shop.finished_jobs import reports_for
    from example_project.shop.report_requests import fulfil

    name = context.validated_data["request"]
    if not fulfil(context.organization_pk, name, reports_for(context, None)[0]):
        raise PermanentError(f"{context.organization} has no report request {name!r}.")
