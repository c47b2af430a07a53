"""The example project's mails: to whom, with which report, and what is refused."""

from __future__ import annotations

import pytest
from django.core import mail
from django.core.files.storage import default_storage

from django_jobs import submit_job
from django_jobs.models import Membership, Organization
from django_jobs.testing import run_jobs
from example_project.shop.models import Customer
from tests.support.factories import make_organization, make_user
from tests.support.shop import make_shop, report_of, run

pytestmark = pytest.mark.django_db


@pytest.fixture
def shop() -> Organization:
    return make_shop()


@pytest.fixture
def neighbour() -> Organization:
    return make_organization(name="ORG-2")


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
