"""Handlers of the shop's job types, one subject a module.

Every process of the project imports these, so they import what is slow, such as the PDF library, only when they run.
"""

from __future__ import annotations

from example_project.shop.jobs.catalogs import catalog_publish
from example_project.shop.jobs.customers import bulk_statements, csv_import, customer_statement, statements_index
from example_project.shop.jobs.faxes import fax_send
from example_project.shop.jobs.invoices import invoice_run
from example_project.shop.jobs.items import process_item
from example_project.shop.jobs.mails import email_notification, email_report, send_welcome_email
from example_project.shop.jobs.reports import pdf_generation, report_ready

__all__ = [
    "bulk_statements",
    "catalog_publish",
    "csv_import",
    "customer_statement",
    "email_notification",
    "email_report",
    "fax_send",
    "invoice_run",
    "pdf_generation",
    "process_item",
    "report_ready",
    "send_welcome_email",
    "statements_index",
]
