"""The example project's jobs, by the engine's own dispatch, claim and settle."""

from __future__ import annotations

from datetime import date
from io import BytesIO
from typing import Any, Final

import pytest
from django.core import mail
from django.core.files.storage import default_storage
from pypdf import PdfReader

from django_jobs import JobStatus, cancel_job, get_batch_status, get_job_status, submit_job
from django_jobs.models import Job, JobType, Membership, Organization
from django_jobs.testing import make_context, run_jobs
from example_project.shop import providers
from example_project.shop.catalog import SHOPS
from example_project.shop.jobs import bulk_statements, pdf_generation
from example_project.shop.models import Customer, Order, Product, ReportRequest
from example_project.shop.reports import ROWS_A_PAGE
from example_project.shop.seeding import make_products
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


# -- reports -----------------------------------------------------------------------------------------------------------


def more_orders(shop: Organization, count: int, **values: Any) -> None:
    order = Order.objects.get(organization=shop)
    chosen = {"customer": order.customer, "product": order.product, "quantity": 1, "total": 1, **values}
    Order.objects.bulk_create(
        Order(organization=shop, number=f"N{number}", ordered_on=date(2025, 1, 8), **chosen) for number in range(count)
    )


def test_a_report_has_the_orders_of_its_organization_and_days_page_by_page(
    shop: Organization, neighbour: Organization
) -> None:
    more_orders(shop, ROWS_A_PAGE)
    Order.objects.filter(number="N0").update(ordered_on=date(2025, 2, 1))
    context = make_context({"date_range": ["2025-01-01", "2025-01-31"]}, organization=shop, job_type="pdf_generation")
    result = pdf_generation(context)
    ((reference, content),) = context.outputs.items()
    pages = [page.extract_text() for page in PdfReader(BytesIO(content)).pages]

    assert result == {"output_reference": reference, "pages": 2, "orders": 36, "total": "45.00"}
    assert reference.endswith("/sales-2025-01-01-to-2025-01-31.pdf")
    assert "45.00" in pages[0]
    assert ("Zoë" in pages[1], "N35" in pages[1], "N0\n" in pages[1]) == (True, True, False)
    assert context.progress == [(0, "Reading orders"), (49, "Page 1 of 2"), (99, "Page 2 of 2")]


def test_the_days_that_nobody_asked_for_are_the_last_full_month_with_orders(shop: Organization) -> None:
    assert (run(report_of(shop)).output_reference or "").endswith("/sales-2025-01-01-to-2025-01-31.pdf")


def test_an_organization_without_orders_has_a_report_too(neighbour: Organization) -> None:
    assert run(report_of(neighbour, date_range=["2024-01-01", "2024-12-31"])).result["pages"] == 1


def test_names_that_are_markup_or_lack_in_the_font_are_no_error(shop: Organization) -> None:
    Customer.objects.update(name="<b>Zoë 東京 \ud7ff🙂" + "W" * 100)
    Organization.objects.filter(pk=shop.pk).update(title="<i>Łódź & Co")
    assert run(report_of(shop)).status == "Completed"


def test_a_report_tells_the_request_that_its_parameters_name(shop: Organization) -> None:
    request = ReportRequest.objects.create(organization=shop)
    status = run(report_of(shop, callback_doctype="Report Request", callback_name=request.name))
    request.refresh_from_db()
    assert request.pdf_file == status.output_reference


def test_another_organizations_request_is_not_told(shop: Organization, neighbour: Organization) -> None:
    request = ReportRequest.objects.create(organization=neighbour)
    status = run(report_of(shop, callback_doctype="Report Request", callback_name=request.name))
    request.refresh_from_db()
    assert (status.status, request.pdf_file) == ("Dead Letter", "")


# -- mails -------------------------------------------------------------------------------------------------------------


def test_a_report_is_mailed_as_an_attachment_once_it_is_done(shop: Organization) -> None:
    job = submit_job("email_report", shop, {"to": ["zoe@example.com"]}, depends_on=report_of(shop))
    assert run(job).status == "Completed"
    (message,) = mail.outbox
    ((filename, content, mimetype),) = message.attachments
    assert message.to == ["zoe@example.com"]
    assert (filename, mimetype) == ("sales-2025-01-01-to-2025-01-31.pdf", "application/pdf")
    assert content[:5] == b"%PDF-"
    assert message.message()["Message-ID"] == f"<{job.name}@shop.example>"  # the same in every attempt


def test_a_mail_without_recipients_goes_to_the_admins(shop: Organization) -> None:
    submit_job("email_report", shop, depends_on=report_of(shop))
    run_jobs()
    assert mail.outbox[0].to == ["bob@example.com"]


def test_a_mail_to_nobody_or_about_nothing_is_a_permanent_error(shop: Organization) -> None:
    notice = {"template": "fax_sent_confirmation"}
    for job in (submit_job("email_report", shop), submit_job("email_notification", shop, notice)):
        assert (run(job).status, run(job).error_type) == ("Dead Letter", "Permanent")
    Membership.objects.all().delete()
    status = run(submit_job("email_report", shop, depends_on=report_of(shop)))
    assert (status.status, status.retry_count) == ("Dead Letter", 0)


def test_a_confirmation_quotes_the_fax(shop: Organization) -> None:
    fax = submit_job("fax_send", shop, {"fax_number": "+15551234567", "document": "doc.pdf"}, priority="High")
    job = submit_job("email_notification", shop, {"template": "fax_sent_confirmation"}, depends_on=fax)
    assert run(job).status == "Completed"
    assert "+15551234567" in mail.outbox[0].subject
    assert f"FAX-{fax.name}" in mail.outbox[0].body


def test_a_customer_is_welcomed_by_their_own_shop_alone(shop: Organization, neighbour: Organization) -> None:
    customer = Customer.objects.get(name="Zoë")
    assert run(submit_job("send_welcome_email", shop, {"customer": customer.pk})).status == "Completed"
    assert (mail.outbox[0].to, mail.outbox[0].subject) == (["zoe@example.com"], "Welcome to The Shop")
    assert run(submit_job("send_welcome_email", neighbour, {"customer": customer.pk})).error_type == "Permanent"


# -- providers that fail -----------------------------------------------------------------------------------------------


def fax(shop: Organization, number: str) -> JobStatus:
    return run(submit_job("fax_send", shop, {"fax_number": number, "document": "doc.pdf"}))


def test_a_busy_line_is_tried_again(shop: Organization) -> None:
    status = fax(shop, "+15550000002")
    assert (status.status, status.attempt, status.retry_count) == ("Completed", 3, 2)


def test_a_line_that_stays_busy_ends_as_dead_letter(shop: Organization) -> None:
    status = fax(shop, "+15550000099")
    assert (status.status, status.retry_count, status.error_type) == ("Dead Letter", 3, "Transient")


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


@pytest.fixture
def catalog(organization: Organization, broker: object) -> Organization:
    make_products(SHOPS[0], organization)
    return organization


def test_a_publication_tells_how_far_it_is_and_stops_where_it_is_canceled(
    catalog: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, total = submit_job("catalog_publish", catalog), len(SHOPS[0].products)
    published: list[float] = []

    def sleep(seconds: float) -> None:
        published.append(seconds)
        if len(published) == total // 2:
            cancel_job(job)

    monkeypatch.setattr(providers, "sleep", sleep)
    run_jobs()
    status = get_job_status(job)

    assert (status.status, len(published)) == ("Canceled", total // 2)
    assert 0 < status.progress <= 50
    assert 20 <= total * published[0] <= 60  # time enough for a person


def test_publications_wait_while_the_marketplace_is_down(
    catalog: Organization, monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Any
) -> None:
    settings.PROVIDERS_DIR = tmp_path
    monkeypatch.setattr(providers, "sleep", lambda _: None)
    providers.outage().touch()
    tried = [submit_job("catalog_publish", catalog, {"seconds": seconds}) for seconds in (1, 2, 3)]
    run_jobs()
    waiting = submit_job("catalog_publish", catalog, {"seconds": 4})
    run_jobs()

    assert {get_job_status(job).error_type for job in tried} == {"Transient"}
    assert (get_job_status(waiting).status, get_job_status(waiting).waiting_for) == ("Pending", "breaker")

    providers.outage().unlink()
    verbs.close_breaker("catalog_publish")
    assert {status.status for status in run_jobs(retries=True)} == {"Completed"}


def test_a_shop_publishes_once_at_a_time(catalog: Organization) -> None:
    first, second = [submit_job("catalog_publish", catalog, {"seconds": seconds}) for seconds in (1, 2)]
    verbs.dispatch()
    assert get_job_status(first).waiting_for == "broker"
    assert get_job_status(second).waiting_for == "concurrency"


def test_an_invoice_run_does_each_thing_once(shop: Organization, settings: Any, tmp_path: Any) -> None:
    settings.PROVIDERS_DIR = tmp_path
    more_orders(shop, 2)
    job = submit_job("invoice_run", shop, {"orders": 2, "seconds": 0})
    assert run(job).result == {"invoices": 2}
    assert set(providers.done(job.name).values()) == {1}
    assert len(providers.calls(job.name)) == 6


# -- many small jobs ---------------------------------------------------------------------------------------------------


def test_the_bulk_job_submits_a_statement_for_each_customer_with_orders(shop: Organization) -> None:
    bulk = submit_job("bulk_statements", shop, {"month": "2025-01"})
    first, second = run_jobs()
    assert first.job_id == bulk.name
    assert (first.result["month"], first.result["statements"]) == ("2025-01", 1)
    assert get_batch_status(first.result["batch"]).state == "Completed"
    assert (second.job_type, second.priority, second.status) == ("customer_statement", "Low", "Completed")
    assert "2025-01-07  1" in read(second.output_reference)


def test_a_second_attempt_of_the_bulk_job_submits_nothing_twice(shop: Organization) -> None:
    for attempt in (1, 2):
        bulk_statements(
            make_context(organization=shop, job_type="bulk_statements", attempt=attempt, job_id="JOB-2026-00007")
        )
    assert Job.objects.filter(job_type="customer_statement").count() == 1


def test_a_statement_of_another_organizations_customer_is_a_permanent_error(
    shop: Organization, neighbour: Organization
) -> None:
    customer = shop.customers.earliest("pk")
    status = run(submit_job("customer_statement", neighbour, {"customer": customer.pk, "month": "2025-01"}))
    assert (status.status, status.error_type) == ("Dead Letter", "Permanent")


@pytest.mark.parametrize("item_id", ["A-1", "Mug"])
def test_an_item_is_found_by_number_and_by_name(shop: Organization, neighbour: Organization, item_id: str) -> None:
    Product.objects.create(organization=neighbour, sku="A-1", name="Mug", price=1)
    assert run(submit_job("process_item", shop, {"item_id": item_id})).result == {
        "sku": "A-1",
        "units": 2,
        "revenue": "10.00",
    }


# -- parameters --------------------------------------------------------------------------------------------------------

BAD_PARAMETERS: Final[list[tuple[str, dict[str, Any], str]]] = [
    ("pdf_generation", {"template": "weekly"}, "template"),
    ("pdf_generation", {"daterange": []}, "daterange"),
    ("pdf_generation", {"date_range": ["2025-01-01"]}, "date_range"),
    ("pdf_generation", {"date_range": ["2025-01-01", "2025-02-30"]}, "date_range.1"),
    ("pdf_generation", {"date_range": ["2025-02-01", "2025-01-01"]}, "date_range"),
    ("pdf_generation", {"callback_doctype": "User", "callback_name": "1"}, "callback_doctype"),
    ("email_report", {"to": ["alice@example.com", "bob"]}, "to.1"),
    ("email_notification", {"template": "x"}, "template"),
    ("fax_send", {"fax_number": "5551234", "document": "doc.pdf"}, "fax_number"),
    ("fax_send", {"fax_number": "+15551234567", "document": "../doc.exe"}, "document"),
    ("bulk_statements", {"month": "2025-13"}, "month"),
]


def test_bad_parameters_are_refused_by_name(subtests: pytest.Subtests) -> None:
    for job_type, parameters, field in BAD_PARAMETERS:
        with subtests.test(job_type=job_type, parameters=parameters, field=field):
            assert list(verbs.validate_parameters(job_type, parameters)) == [f"parameters.{field}"]


def test_the_parameters_of_the_quickstart_are_accepted(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, dict[str, Any]]] = [
        ("pdf_generation", {"template": "monthly_report", "date_range": ["2024-01-01", "2024-12-31"]}),
        ("pdf_generation", {"template": "report", "callback_doctype": "Report Request", "callback_name": "REQ-1"}),
        ("fax_send", {"fax_number": "+15551234567", "document": "doc.pdf"}),
        ("email_notification", {"template": "fax_sent_confirmation"}),
        ("process_item", {"item_id": "Enamel mug, forest green"}),
        ("email_report", {}),
    ]
    for job_type, parameters in cases:
        with subtests.test(job_type=job_type, parameters=parameters):
            assert verbs.validate_parameters(job_type, parameters) == {}


def test_a_file_that_was_deleted_is_not_mailed(shop: Organization) -> None:
    report = report_of(shop)
    run(report)
    job = submit_job("email_report", shop, depends_on=report)
    default_storage.delete(get_job_status(report).output_reference or "")
    assert run(job).status != "Completed"
    assert mail.outbox == []
