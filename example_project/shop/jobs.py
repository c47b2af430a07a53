"""Handlers of the shop's Job Types. Workers import this module, so it imports next to nothing itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_jobs import JobContext


def pdf_generation(context: JobContext) -> dict[str, Any]:
    """The sales report of the job's organization as a PDF.

    Parameters: ``template`` ("monthly_report") and ``date_range``, two ISO dates, both included. Without
    a range it is the last full month that has orders.
    """
    from example_project.shop.parameters import read_parameters
    from example_project.shop.pdf import draw_report
    from example_project.shop.reports import build_report

    period = read_parameters(context.parameters)
    context.update_progress(0, "Reading orders")
    report = build_report(context.organization, period)

    def page_done(page: int, pages: int) -> None:
        # The rest is for storing the file.
        context.update_progress(99 * page // pages, f"Page {page} of {pages}")

    content, pages = draw_report(report, page_done)
    filename = f"sales-{report.period.start}-to-{report.period.end}.pdf"
    return {
        "output_reference": context.save_output(filename, content),
        "pages": pages,
        "orders": len(report.orders),
        "total": str(report.total),
    }
