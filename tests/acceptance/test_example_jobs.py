"""The example project's job types in real workers."""

from __future__ import annotations

import email
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import pytest
from django.conf import settings
from django.core.files.storage import default_storage

from django_jobs import get_job_status, submit_job, wait_for_job
from django_jobs.models import JobType, Organization
from django_jobs.statuses import Status
from tests.acceptance.steps import Stage, path_of, wait_for_status
from tests.support.factories import make_organization, make_user
from tests.support.workers import ProcessPool


@pytest.fixture
def shop(transactional_db: None) -> Organization:
    shop = make_organization()
    make_user("bob", admin_of=[shop])
    return shop


def mails() -> list[EmailMessage]:
    """What the workers' mail backend wrote."""
    files = sorted(Path(settings.MAIL_DIR).glob("*.log"))
    return [message for file in files if isinstance(message := parsed(file), EmailMessage)]


def parsed(file: Path) -> object:
    return email.message_from_bytes(file.read_bytes(), policy=default)


def test_a_mail_with_the_report_becomes_a_file_of_its_own(processes: ProcessPool, shop: Organization) -> None:
    report = submit_job("pdf_generation", shop)
    mailing = submit_job("email_report", shop, {"to": ["zoe@example.com"]}, depends_on=report)
    processes.worker()

    status = wait_for_job(mailing.name, timeout=60)
    (message,) = [one for one in mails() if one["Message-ID"] == status.result["message_id"]]
    (attachment,) = message.iter_attachments()
    with default_storage.open(get_job_status(report).output_reference or "") as file:
        assert attachment.get_payload(decode=True) == file.read()
    assert (message["To"], attachment.get_content_type()) == ("zoe@example.com", "application/pdf")


@pytest.fixture
def impatient(transactional_db: None) -> None:
    JobType.objects.filter(pk="fax_send").update(retry_delay=0, max_retries=2)


@pytest.mark.usefixtures("impatient")
def test_a_fax_to_a_busy_line_is_retried_until_it_goes_through(processes: ProcessPool, stage: Stage) -> None:
    processes.worker()
    job = submit_job("fax_send", stage.organization, {"fax_number": "+15550000002", "document": "doc.pdf"})

    status = wait_for_job(job.name, timeout=60)
    assert (status.attempt, status.retry_count, status.result["receipt"]) == (3, 2, f"FAX-{job.name}")
    assert path_of(job).count(Status.FAILED) == 2


@pytest.mark.usefixtures("impatient")
def test_a_fax_to_a_line_that_stays_busy_ends_as_dead_letter(processes: ProcessPool, stage: Stage) -> None:
    processes.worker()
    job = submit_job("fax_send", stage.organization, {"fax_number": "+15550000099", "document": "doc.pdf"})

    status = wait_for_status(job, Status.DEAD_LETTER)
    assert (status.attempt, status.error_message) == (3, "+15550000099 is busy.")


def test_a_fax_that_has_to_wait_goes_through_without_a_retry(processes: ProcessPool, stage: Stage) -> None:
    processes.worker()
    job = submit_job("fax_send", stage.organization, {"fax_number": "+15550000429", "document": "doc.pdf"})

    status = wait_for_job(job.name, timeout=60)
    assert (status.attempt, status.retry_count) == (2, 0)
    assert path_of(job)[:4] == [Status.PENDING, Status.QUEUED, Status.RUNNING, Status.PENDING]
