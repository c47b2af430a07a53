"""Jobs of every type for each of the demo's organizations."""

from __future__ import annotations

from typing import Any, Final

from django.contrib.auth import get_user_model

from django_jobs import submit_job
from django_jobs.models import Job, Organization
from example_project.shop.catalog import Shop
from example_project.shop.models import Upload
from example_project.shop.report_requests import request_report
from example_project.shop.sample_csv import customers_csv, store_upload

QUARTER: Final = ["2025-10-01", "2025-12-31"]
#: Rows of the imported file for each customer that a shop has by itself.
ROWS_PER_CUSTOMER: Final = 230
#: By the end of the number, what the pretended provider does.
FAX_NUMBERS: Final = {
    "+15551234567": "goes through",
    "+15550000002": "is busy twice, so it is retried",
    "+15550000429": "has to wait 2 s, which spends no retry",
    "+15550000503": "answers with HTTP 503 at first",
    "+15550000000": "is out of service: Dead Letter at once",
    "+15550000099": "stays busy: Dead Letter after three retries",
}


class Samples:
    """Submits jobs for one shop as its member. Work that was submitted moments ago is not submitted again."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.organization = Organization.objects.get(name=shop.organization)
        self._member: Any = get_user_model().objects.get(username=shop.member)

    def submit(self, job_type: str, parameters: dict[str, Any], depends_on: Job | None = None) -> Job:
        return submit_job(
            job_type,
            self.organization,
            parameters,
            depends_on=depends_on,
            user=self._member,
            on_duplicate="return",
        )

    def submit_all(self) -> dict[str, Job]:
        """Submit the jobs; return them by what each of them shows."""
        report = self.submit("pdf_generation", {"template": "monthly_report", "date_range": QUARTER})
        jobs = {
            "a report": report,
            "mails it when it is done": self.submit("email_report", {}, depends_on=report),
            "imports customers, some rows are bad": self.submit("csv_import", {"upload": self.upload().pk}),
            "a statement for each customer": self.submit("bulk_statements", {"month": "2025-12"}),
        }
        jobs["charges, books and mails 20 invoices in steps"] = self.submit("invoice_run", {})
        for number, what in FAX_NUMBERS.items():
            jobs[f"fax, {what}"] = self.submit("fax_send", {"fax_number": number, "document": "doc.pdf"})
        sent = jobs["fax, goes through"]
        jobs["confirms the fax by mail"] = self.submit(
            "email_notification", {"template": "fax_sent_confirmation"}, depends_on=sent
        )
        request_report(self.organization, {"template": "report"})
        # Last, so that it stands first on the page.
        jobs["publishes the catalog: time enough to cancel it"] = self.submit("catalog_publish", {})
        return jobs

    def upload(self) -> Upload:
        """Return the file of an earlier demo, or a new one."""
        known = Upload.objects.filter(organization=self.organization).first()
        rows = ROWS_PER_CUSTOMER * self.shop.customers
        return known or store_upload(self.organization, customers_csv(rows))
