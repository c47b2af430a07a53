"""The example project's job types, by the engine's own dispatch, claim and settle."""

from __future__ import annotations

import csv
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core import mail
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from django_jobs import JobCanceled, JobStatus, get_job_status, submit_job
from django_jobs.models import Job, Membership, Organization
from django_jobs.testing import make_context, run_jobs
from example_project.shop import customer_import
from example_project.shop.customer_csv import GoodRow
from example_project.shop.jobs import bulk_statements, csv_import
from example_project.shop.models import Customer, Order, OrderLine, Product, ReportRequest, Upload
from example_project.shop.report_requests import request_report
from example_project.shop.sample_csv import store_upload
from tests.support.factories import make_organization, make_user

HEADER = "name,email,city\n"


@pytest.fixture
def shop() -> Organization:
    """An organization with an admin, two customers, and orders in January 2025 of one of them."""
    shop = make_organization(name="ORG-1", title="The Shop")
    make_user("bob", admin_of=[shop])
    customer = Customer.objects.create(organization=shop, name="Zoë", email="zoe@example.com", city="Köln")
    Customer.objects.create(organization=shop, name="Ana", email="ana@example.com", city="Bonn")
    product = Product.objects.create(organization=shop, sku="A-1", name="Mug", category="Kitchen", price=Decimal(5))
    order = Order.objects.create(
        organization=shop, customer=customer, number="1", ordered_on=date(2025, 1, 7), total=Decimal(10)
    )
    OrderLine.objects.create(order=order, product=product, quantity=2, unit_price=Decimal(5), amount=Decimal(10))
    return shop


@pytest.fixture
def neighbour() -> Organization:
    return make_organization(name="ORG-2")


def report_of(organization: Organization, **parameters: Any) -> Job:
    return submit_job("pdf_generation", organization, {"template": "monthly_report", **parameters})


def run(job: Job) -> JobStatus:
    """What became of the job, and of all that waited for it."""
    run_jobs(retries=True)
    return get_job_status(job)


def read(reference: str | None) -> str:
    with default_storage.open(reference or "") as file:
        return str(file.read().decode())


# Mails


def test_a_report_is_mailed_as_an_attachment_once_it_is_done(shop: Organization) -> None:
    report = report_of(shop)
    job = submit_job("email_report", shop, {"to": ["zoe@example.com"], "subject": "Yours"}, depends_on=report)
    assert run(job).status == "Completed"
    (message,) = mail.outbox
    ((filename, content, mimetype),) = message.attachments
    assert (message.to, message.subject) == (["zoe@example.com"], "Yours")
    assert (filename, mimetype) == ("sales-2025-01-01-to-2025-01-31.pdf", "application/pdf")
    assert content[:5] == b"%PDF-"


def test_a_report_may_be_named_instead(shop: Organization) -> None:
    report = report_of(shop)
    run(report)
    job = submit_job("email_report", shop, {"report_job": report.name})
    assert run(job).result["attachments"] == ["sales-2025-01-01-to-2025-01-31.pdf"]


def test_every_attempt_of_a_mail_has_the_same_message_id(shop: Organization) -> None:
    job = submit_job("email_report", shop, depends_on=report_of(shop))
    assert run(job).result["message_id"] == f"<{job.name}@shop.example>"
    assert mail.outbox[0].message()["Message-ID"] == f"<{job.name}@shop.example>"


def test_a_mail_without_recipients_goes_to_its_owner(shop: Organization) -> None:
    alice = make_user("alice", member_of=[shop])
    submit_job("email_report", shop, depends_on=report_of(shop), user=alice)
    run_jobs()
    assert mail.outbox[0].to == ["alice@example.com"]


def test_a_mail_without_recipients_and_owner_goes_to_the_admins(shop: Organization) -> None:
    submit_job("email_report", shop, depends_on=report_of(shop))
    run_jobs()
    assert mail.outbox[0].to == ["bob@example.com"]


def test_a_mail_to_nobody_is_a_permanent_error(shop: Organization) -> None:
    Membership.objects.all().delete()
    status = run(submit_job("email_report", shop, depends_on=report_of(shop)))
    assert (status.status, status.retry_count) == ("Dead Letter", 0)
    assert "Nobody to write to" in status.error_message


def test_another_organizations_report_is_not_there(shop: Organization, neighbour: Organization) -> None:
    report = report_of(shop)
    run(report)
    status = run(submit_job("email_report", neighbour, {"report_job": report.name}))
    assert status.error_message == f"ORG-2 has no report {report.name}."
    assert mail.outbox == []


def test_a_job_that_is_no_report_is_not_mailed(shop: Organization) -> None:
    item = submit_job("process_item", shop, {"item_id": "A-1"})
    run(item)
    status = run(submit_job("email_report", shop, {"report_job": item.name}))
    assert status.error_message == f"ORG-1 has no report {item.name}."


def test_a_report_that_is_not_done_is_refused_with_what_to_do(shop: Organization) -> None:
    report = submit_job("pdf_generation", shop, priority="Low")
    mailing = submit_job("email_report", shop, {"report_job": report.name}, priority="High")
    assert f"A job with depends_on='{report.name}' waits" in run(mailing).error_message


def test_a_report_whose_file_is_gone_is_refused(shop: Organization) -> None:
    report = report_of(shop)
    default_storage.delete(run(report).output_reference or "")
    status = run(submit_job("email_report", shop, {"report_job": report.name}))
    assert status.error_message == f"The file of {report.name} is no longer there."


def test_a_mail_without_a_report_says_how_to_name_one(shop: Organization) -> None:
    assert "give 'report_job'" in run(submit_job("email_report", shop)).error_message


def test_a_confirmation_quotes_the_fax(shop: Organization) -> None:
    fax = submit_job("fax_send", shop, {"fax_number": "+15551234567", "document": "doc.pdf"}, priority="High")
    job = submit_job("email_notification", shop, {"template": "fax_sent_confirmation"}, depends_on=fax)
    assert run(job).status == "Completed"
    assert mail.outbox[0].subject == "Your fax to +15551234567 was sent"
    assert f"receipt FAX-{fax.name}" in mail.outbox[0].body


def test_a_notice_of_nothing_is_a_permanent_error(shop: Organization) -> None:
    status = run(submit_job("email_notification", shop, {"template": "fax_sent_confirmation"}))
    assert "depend on one of the type fax_send" in status.error_message


def test_a_customer_is_welcomed(shop: Organization) -> None:
    customer = Customer.objects.get(name="Zoë")
    assert run(submit_job("send_welcome_email", shop, {"customer": customer.pk})).status == "Completed"
    assert (mail.outbox[0].to, mail.outbox[0].subject) == (["zoe@example.com"], "Welcome to The Shop")


# Faxes


def fax(shop: Organization, number: str) -> JobStatus:
    return run(submit_job("fax_send", shop, {"fax_number": number, "document": "doc.pdf"}))


def test_a_busy_line_is_tried_again(shop: Organization) -> None:
    status = fax(shop, "+15550000002")
    assert (status.status, status.attempt, status.retry_count) == ("Completed", 3, 2)


def test_a_line_that_stays_busy_ends_as_dead_letter(shop: Organization) -> None:
    status = fax(shop, "+15550000099")
    assert (status.status, status.retry_count, status.error_type) == ("Dead Letter", 3, "Transient")
    assert status.error_message == "+15550000099 is busy."


def test_a_number_out_of_service_is_not_tried_again(shop: Organization) -> None:
    status = fax(shop, "+15550000000")
    assert (status.status, status.attempt, status.error_type) == ("Dead Letter", 1, "Permanent")


def test_too_many_faxes_wait_as_long_as_they_are_told_and_spend_no_retry(shop: Organization) -> None:
    status = fax(shop, "+15550000429")
    assert (status.status, status.waiting_for, status.retry_count) == ("Pending", "run_at", 0)


def test_an_unavailable_provider_is_asked_again_when_it_said_so(shop: Organization) -> None:
    status = fax(shop, "+15550000503")
    assert (status.status, status.attempt, status.retry_count) == ("Completed", 2, 1)


# Imports


def import_text(shop: Organization, text: str) -> JobStatus:
    return run(submit_job("csv_import", shop, {"upload": store_upload(shop, text).pk}))


def test_an_import_adds_new_customers_and_updates_known_ones(shop: Organization) -> None:
    status = import_text(shop, f"{HEADER}Zoë Núñez,ZOE@example.com,Bonn\nKim,kim@example.com,Kiel\n")
    assert status.result == {"rows": 2, "imported": 2, "bad": 0}
    assert status.output_reference is None
    assert set(shop.customers.values_list("name", "email", "city")) == {
        ("Zoë Núñez", "zoe@example.com", "Bonn"),
        ("Ana", "ana@example.com", "Bonn"),
        ("Kim", "kim@example.com", "Kiel"),
    }


def test_bad_rows_come_back_in_a_file_with_their_lines(shop: Organization) -> None:
    status = import_text(shop, f"{HEADER}Kim,kim@example.com,Kiel\nJo,jo,Kiel\n")
    assert (status.result["imported"], status.result["bad"]) == (1, 1)
    rows = list(csv.reader(read(status.output_reference).splitlines()))
    assert rows[1:] == [["3", "email is not an address", "Jo", "jo", "Kiel"]]


def test_the_same_file_twice_changes_nothing_more(shop: Organization) -> None:
    text = f"{HEADER}Kim,kim@example.com,Kiel\n"
    import_text(shop, text)
    before = list(shop.customers.order_by("pk").values())
    import_text(shop, text)
    assert list(shop.customers.order_by("pk").values()) == before


def test_a_broken_file_is_a_permanent_error_and_stores_nothing(shop: Organization) -> None:
    status = import_text(shop, f'{HEADER}Kim,kim@example.com,Kiel\n"Jo,jo@example.com,Kiel\n')
    assert (status.status, status.error_type) == ("Dead Letter", "Permanent")
    assert status.error_message.startswith("Line 3 is not CSV")
    assert shop.customers.count() == 2


def test_another_organizations_upload_is_not_there(shop: Organization, neighbour: Organization) -> None:
    upload = store_upload(shop, HEADER)
    status = run(submit_job("csv_import", neighbour, {"upload": upload.pk}))
    assert status.error_message == f"ORG-2 has no upload {upload.pk}."


def test_an_import_is_canceled_between_batches(shop: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(customer_import.batches, "__defaults__", (2,))
    upload = store_upload(shop, HEADER + "".join(f"N{n},n{n}@example.com,Kiel\n" for n in range(10)))
    context = make_context({"upload": upload.pk}, organization="ORG-1", job_type="csv_import")
    store = customer_import.store_customers

    def store_and_cancel(organization: Any, rows: list[GoodRow]) -> None:
        store(organization, rows)
        context.cancel()

    context.update_progress(0)
    monkeypatch.setattr(customer_import, "store_customers", store_and_cancel)
    with pytest.raises(JobCanceled):
        csv_import(context)
    assert shop.customers.filter(city="Kiel").count() == 2


def test_an_import_says_how_far_it_is(shop: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(customer_import.batches, "__defaults__", (2,))
    upload = store_upload(shop, HEADER + "".join(f"N{n},n{n}@example.com,Kiel\n" for n in range(4)))
    context = make_context({"upload": upload.pk}, organization="ORG-1", job_type="csv_import")
    csv_import(context)
    assert context.progress == [(0, "Looking at the file"), (49, "2 of 4 rows"), (99, "4 of 4 rows")]


def test_the_command_stores_a_sample_and_says_how_to_import_it(
    shop: Organization, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("customers_csv", rows=1000, upload="ORG-1")
    upload = Upload.objects.get()
    assert f"Upload {upload.pk}: 1000 rows, 1 of them bad." in capsys.readouterr().out
    assert run(submit_job("csv_import", "ORG-1", {"upload": upload.pk})).result["imported"] == 999


def test_the_command_prints_a_sample_of_the_wanted_length(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("customers_csv", rows=3)
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_the_command_refuses_an_unknown_organization() -> None:
    with pytest.raises(CommandError, match="no organization 'nobody'"):
        call_command("customers_csv", rows=3, upload="nobody")


def test_the_admin_imports_what_was_uploaded(shop: Organization) -> None:
    admin = get_user_model().objects.create_superuser("root")
    upload = store_upload(shop, f"{HEADER}Kim,kim@example.com,Kiel\n")
    client = Client()
    client.force_login(admin)
    client.post("/admin/shop/upload/", {"action": "import_customers", "_selected_action": [upload.pk]})
    (status,) = run_jobs()
    assert (status.owner, status.result["imported"]) == ("root", 1)


# Statements, items


def test_the_bulk_job_submits_a_statement_for_each_customer_with_orders(shop: Organization) -> None:
    bulk = submit_job("bulk_statements", shop, {"month": "2025-01"})
    first, second = run_jobs()
    assert (first.job_id, first.result) == (bulk.name, {"month": "2025-01", "statements": 1})
    assert (second.job_type, second.priority, second.status) == ("customer_statement", "Low", "Completed")
    assert second.result["total"] == "10.00"
    assert "2025-01-07  1" in read(second.output_reference)


def test_a_second_attempt_of_the_bulk_job_submits_nothing_twice(shop: Organization) -> None:
    for attempt in (1, 2):
        bulk_statements(
            make_context(organization="ORG-1", job_type="bulk_statements", attempt=attempt, job_id="JOB-2026-00007")
        )
    assert Job.objects.filter(job_type="customer_statement").count() == 1


def test_the_bulk_job_submits_in_a_number_of_statements_that_does_not_grow(shop: Organization) -> None:
    customers = Customer.objects.bulk_create(
        Customer(organization=shop, name=f"N{n}", email=f"n{n}@example.com", city="Kiel") for n in range(50)
    )
    Order.objects.bulk_create(
        Order(organization=shop, customer=one, number=f"N{one.pk}", ordered_on=date(2025, 1, 8), total=1)
        for one in customers
    )
    context = make_context({"month": "2025-01"}, organization="ORG-1", job_type="bulk_statements")
    with CaptureQueriesContext(connection) as queries:
        assert bulk_statements(context)["statements"] == 51
    assert len(queries) < 25


def test_a_statement_of_another_organizations_customer_is_a_permanent_error(
    shop: Organization, neighbour: Organization
) -> None:
    customer = shop.customers.earliest("pk")
    status = run(submit_job("customer_statement", neighbour, {"customer": customer.pk, "month": "2025-01"}))
    assert (status.status, status.error_type) == ("Dead Letter", "Permanent")


@pytest.mark.parametrize("item_id", ["A-1", "Mug"])
def test_an_item_is_found_by_number_and_by_name(shop: Organization, item_id: str) -> None:
    status = run(submit_job("process_item", shop, {"item_id": item_id}))
    assert status.result == {"sku": "A-1", "units": 2, "revenue": "10.00"}


# Callbacks


def test_a_report_request_is_filled_in_by_the_job_that_follows_the_report(shop: Organization) -> None:
    request = request_report(shop)
    run_jobs(raise_errors=True)
    request.refresh_from_db()
    assert request.pdf_file == get_job_status(request.job_id).output_reference
    assert read_bytes(request.pdf_file)[:5] == b"%PDF-"


def read_bytes(reference: str) -> bytes:
    with default_storage.open(reference) as file:
        return bytes(file.read())


def test_a_report_tells_the_request_that_its_parameters_name(shop: Organization) -> None:
    request = ReportRequest.objects.create(organization=shop)
    report = report_of(shop, callback_doctype="Report Request", callback_name=request.name)
    status = run(report)
    request.refresh_from_db()
    assert (request.job_id, request.pdf_file) == (report.name, status.output_reference)


def test_another_organizations_request_is_not_told(shop: Organization, neighbour: Organization) -> None:
    request = ReportRequest.objects.create(organization=neighbour)
    status = run(report_of(shop, callback_doctype="Report Request", callback_name=request.name))
    request.refresh_from_db()
    assert (status.status, request.pdf_file) == ("Dead Letter", "")
