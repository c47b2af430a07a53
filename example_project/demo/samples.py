"""Jobs of every type for each of the demo's organizations."""

from __future__ import annotations

from typing import Any, Final

from django.contrib.auth import get_user_model

from django_jobs import submit_job
from django_jobs.models import Job
from example_project.shop.catalog import Shop

#: By the end of the number, what the pretended provider does.
FAX_NUMBERS: Final = {
    "+15551234567": "goes through",
    "+15550000002": "is busy twice, so it is retried",
    "+15550000429": "has to wait 2 s, which spends no retry",
    "+15550000503": "answers with HTTP 503 at first",
    "+15550000000": "is out of service: Dead Letter at once",
    "+15550000099": "stays busy: Dead Letter after three retries",
}


def submit_samples(shop: Shop) -> dict[str, Job]:
    """Submit the jobs as the shop's member; return them by what each of them shows.

    Work that was submitted moments ago is not submitted again.
    """
    member: Any = get_user_model().objects.get(username=shop.member)

    def submit(job_type: str, parameters: dict[str, Any], depends_on: Job | None = None) -> Job:
        chosen: dict[str, Any] = {"depends_on": depends_on, "user": member, "on_duplicate": "return"}
        return submit_job(job_type, shop.organization, parameters, **chosen)

    report = submit("pdf_generation", {"date_range": ["2025-10-01", "2025-12-31"]})
    jobs = {
        "a report": report,
        "mails it when it is done": submit("email_report", {}, depends_on=report),
        "a statement for each customer": submit("bulk_statements", {"month": "2025-12"}),
        "counts a product's sales": submit("process_item", {"item_id": shop.products[0][0]}),
        "charges, books and mails 20 invoices in steps": submit("invoice_run", {}),
    }
    for number, what in FAX_NUMBERS.items():
        jobs[f"fax, {what}"] = submit("fax_send", {"fax_number": number, "document": "doc.pdf"})
    sent = jobs["fax, goes through"]
    template = {"template": "fax_sent_confirmation"}
    jobs["confirms the fax by mail"] = submit("email_notification", template, depends_on=sent)
    # Last, so that it stands first on the page.
    jobs["publishes the catalog: time enough to cancel it"] = submit("catalog_publish", {})
    return jobs
