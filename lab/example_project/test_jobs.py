"""The example project's faxes, statements, items and callbacks, by the engine's own dispatch, claim and settle."""

from __future__ import annotations

from datetime import date

import pytest
from django.core.files.storage import default_storage
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_jobs import JobStatus, get_batch_status, get_job_status, submit_job
from django_jobs.models import Job, JobType, Organization
from django_jobs.testing import make_context, run_jobs
from example_project.shop.jobs import bulk_statements
from example_project.shop.models import Customer, Order, ReportRequest
from example_project.shop.report_requests import request_report
from tests.support import verbs
from tests.support.factories import make_organization
from tests.support.shop import make_shop, read, report_of, run

pytestmark = pytest.mark.django_db


@pytest.fixture
def shop() -> Organization:
    return make_shop()


@pytest.fixture
def neighbour() -> Organization:
    return make_organization(name="ORG-2")


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


def waits_for(*numbers: str) -> list[str | None]:
    """For what faxes to these numbers wait after a pass of the dispatcher."""
    jobs = [
        submit_job("fax_send", "ORG-1", {"fax_number": number, "document": f"{place}.pdf"})
        for place, number in enumerate(numbers)
    ]
    verbs.dispatch()
    return [get_job_status(job).waiting_for for job in jobs]


@pytest.mark.usefixtures("shop", "broker")
def test_a_line_gets_one_fax_at_a_time() -> None:
    JobType.objects.filter(pk="fax_send").update(max_starts=None)
    assert waits_for("+15551234567", "+15551234567", "+15557654321") == ["broker", "concurrency", "broker"]


@pytest.mark.usefixtures("shop", "broker")
def test_faxes_to_many_lines_start_one_after_the_other() -> None:
    assert waits_for("+15551234567", "+15557654321") == ["broker", "concurrency"]


def test_the_bulk_job_submits_a_statement_for_each_customer_with_orders(shop: Organization) -> None:
    bulk = submit_job("bulk_statements", shop, {"month": "2025-01"})
    first, second, index = run_jobs()
    assert first.job_id == bulk.name
    assert (first.result["month"], first.result["statements"]) == ("2025-01", 1)
    assert first.progress_message == "1 submitted"
    assert get_batch_status(first.result["batch"]).then_job == index.job_id
    assert read(index.output_reference).splitlines()[0] == "Statements of 2025-01"
    assert "1 orders, 10.00" in read(index.output_reference)
    assert (second.job_type, second.priority, second.status) == ("customer_statement", "Low", "Completed")
    assert second.result["total"] == "10.00"
    assert "2025-01-07  1" in read(second.output_reference)


def test_a_second_attempt_of_the_bulk_job_submits_nothing_twice(shop: Organization) -> None:
    for attempt in (1, 2):
        bulk_statements(
            make_context(organization=shop, job_type="bulk_statements", attempt=attempt, job_id="JOB-2026-00007")
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
    context = make_context({"month": "2025-01"}, organization=shop, job_type="bulk_statements")
    with CaptureQueriesContext(connection) as queries:
        assert bulk_statements(context)["statements"] == 51
    assert len(queries) < 45


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
