"""The quickstart's sections 1, 3, 5, 6 and 7, in Python with only the imports changed; a worker runs."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.core.management import call_command
from pypdf import PdfReader

import django_jobs
from django_jobs import cancel_job, get_job_status, submit_job
from django_jobs.exceptions import JobFailed
from django_jobs.models import Job, JobType, Organization
from django_jobs.statuses import Priority, Status
from example_project.shop.models import ReportRequest
from tests.acceptance.steps import wait_for_message, wait_for_status
from tests.support.factories import make_job_type
from tests.support.shop import make_quickstart_shop
from tests.support.workers import ProcessPool

JOB_TYPE = {
    "type_name": "my_custom_job",
    "display_name": "My Custom Job",
    "handler_method": "tests.support.handlers.execute_my_job",
    "default_timeout": 120,
    "default_priority": "Normal",
    "max_retries": 3,
    "is_enabled": 1,
}


def wait_for_job(job_id: str, timeout: float = 300) -> str | None:
    """Wait for job completion with timeout. The quickstart's own, section 6."""
    start = time.time()
    while time.time() - start < timeout:
        status = get_job_status(job_id)

        if status.status == "Completed":
            return status.output_reference
        elif status.status in ["Failed", "Dead Letter", "Canceled"]:  # noqa: RET505
            raise Exception(f"Job failed: {status.error_message}")  # noqa: TRY002

        time.sleep(2)

    raise TimeoutError(f"Job {job_id} did not complete in {timeout}s")


@pytest.fixture
def organization(transactional_db: None) -> Organization:
    return make_quickstart_shop()


@pytest.fixture
def custom_type(transactional_db: None, tmp_path: Path) -> JobType:
    """Section 5, step 2, as a Django fixture."""
    fields = {name: value for name, value in JOB_TYPE.items() if name != "type_name"}
    fixture = tmp_path / "my_custom_job.json"
    fixture.write_text(json.dumps([{"model": "django_jobs.jobtype", "pk": JOB_TYPE["type_name"], "fields": fields}]))
    call_command("loaddata", str(fixture), verbosity=0)
    return JobType.objects.get(pk="my_custom_job")


def submit_custom(data: Any) -> Job:
    return submit_job(
        job_type="my_custom_job",
        organization="ORG-2025-00001",
        parameters={"input_data": data},
    )


def test_the_simple_job_of_section_1_is_submitted_and_makes_a_report_with_the_right_total(
    processes: ProcessPool, organization: Organization, capsys: pytest.CaptureFixture[str]
) -> None:
    processes.worker()
    job = submit_job(
        job_type="pdf_generation",
        organization="ORG-2025-00001",
        parameters={
            "template": "monthly_report",
            "date_range": ["2025-01-01", "2025-01-31"],
        },
    )

    print(f"Job submitted: {job.name}")  # noqa: T201
    assert capsys.readouterr().out == f"Job submitted: JOB-{job.created_at.year}-{job.pk:05d}\n"

    status = django_jobs.wait_for_job(job.name, timeout=60)
    orders = organization.orders.filter(ordered_on__month=1)
    total: Decimal = sum((order.total for order in orders), Decimal())
    assert status.result["total"] == str(total)
    assert status.output_reference is not None
    with default_storage.open(status.output_reference) as file:
        text = "\n".join(page.extract_text() for page in PdfReader(file).pages)
    assert f"{total:,.2f}" in text


def test_the_status_of_section_3_is_read_while_the_job_waits_and_when_it_is_done(
    processes: ProcessPool, organization: Organization, capsys: pytest.CaptureFixture[str]
) -> None:
    job = submit_job("pdf_generation", "ORG-2025-00001", {"template": "monthly_report"})

    status = get_job_status(job.name)
    print(f"Status: {status.status}, Progress: {status.progress}%")  # noqa: T201
    processes.worker()
    django_jobs.wait_for_job(job.name, timeout=60)
    status = get_job_status(job.name)
    print(f"Status: {status.status}, Progress: {status.progress}%")  # noqa: T201

    assert capsys.readouterr().out == "Status: Queued, Progress: 0%\nStatus: Completed, Progress: 100%\n"


def test_the_custom_job_type_of_section_5_loads_as_a_fixture_and_runs(
    processes: ProcessPool, organization: Organization, custom_type: JobType
) -> None:
    assert (custom_type.default_priority, custom_type.is_enabled) == (Priority.NORMAL, True)
    processes.worker()
    job = submit_custom("text")

    status = django_jobs.wait_for_job(job.name, timeout=60)
    assert status.output_reference == "results/TEXT.txt"
    assert (status.progress, status.max_retries, job.timeout_seconds) == (100, 3, 120)


def test_errors_of_the_custom_handler_are_transient_or_permanent_as_it_says(
    processes: ProcessPool, organization: Organization, custom_type: JobType
) -> None:
    processes.worker()
    unreachable, nonsense = submit_custom("unreachable"), submit_custom("nonsense")

    failed = wait_for_status(unreachable, Status.FAILED)
    assert (failed.error_type, failed.error_message) == ("Transient", "Connection failed: nobody answers")
    assert failed.next_retry_at is not None
    dead = wait_for_status(nonsense, Status.DEAD_LETTER)
    assert (dead.error_type, dead.error_message) == ("Permanent", "Invalid input: this makes no sense")
    assert dead.retry_count == 0


def test_the_polling_function_of_section_6_returns_the_result(
    processes: ProcessPool, organization: Organization, custom_type: JobType
) -> None:
    processes.worker()

    assert wait_for_job(submit_custom("text").name) == "results/TEXT.txt"
    with pytest.raises(Exception, match=r"^Job failed: Invalid input: this makes no sense$"):
        wait_for_job(submit_custom("nonsense").name)


def test_our_wait_for_job_returns_the_status_and_raises_what_became_of_a_job_that_failed(
    processes: ProcessPool, organization: Organization, custom_type: JobType
) -> None:
    waiting = submit_custom("later")
    with pytest.raises(TimeoutError, match=waiting.name):
        django_jobs.wait_for_job(waiting.name, timeout=0.1)

    processes.worker()
    assert django_jobs.wait_for_job(waiting.name, timeout=60).status == "Completed"
    with pytest.raises(JobFailed) as caught:
        django_jobs.wait_for_job(submit_custom("nonsense").name, timeout=60)
    assert caught.value.status.status == Status.DEAD_LETTER


def test_the_cancel_of_section_7_ends_a_waiting_job_and_a_running_one(
    processes: ProcessPool, organization: Organization, custom_type: JobType
) -> None:
    waiting = submit_custom("text")
    cancel_job(waiting.name)
    assert get_job_status(waiting.name).status == "Canceled"

    running = submit_job(make_job_type("wait_without_checkpoints"), "ORG-2025-00001")
    processes.worker()
    wait_for_message(running, "waiting")
    cancel_job(running.name)
    assert wait_for_status(running, Status.CANCELED).cancel_requested
    assert get_job_status(waiting.name).attempt == 0


def test_the_urgent_job_of_section_1_goes_first_and_the_one_that_depends_on_it_follows(
    processes: ProcessPool, organization: Organization
) -> None:
    urgent_job = submit_job(
        job_type="fax_send",
        organization="ORG-2025-00001",
        parameters={"fax_number": "+15551234567", "document": "doc.pdf"},
        priority="High",
    )
    followup_job = submit_job(
        job_type="email_notification",
        organization="ORG-2025-00001",
        parameters={"template": "fax_sent_confirmation"},
        depends_on=urgent_job.name,
    )
    assert (get_job_status(urgent_job.name).priority, urgent_job.priority) == ("High", Priority.HIGH)
    waiting = get_job_status(followup_job.name)
    assert (waiting.status, waiting.waiting_for, waiting.depends_on) == ("Pending", "dependency", [urgent_job.name])

    processes.worker()
    status = django_jobs.wait_for_job(followup_job.name, timeout=60)
    assert status.result["to"] == ["bob@example.com"]
    assert get_job_status(urgent_job.name).status == "Completed"


def test_the_callback_of_section_6_updates_the_requesting_row(
    processes: ProcessPool, organization: Organization
) -> None:
    ReportRequest.objects.create(organization=organization, name="REQ-2025-00001")
    processes.worker()
    job = submit_job(
        job_type="pdf_generation",
        organization="ORG-2025-00001",
        parameters={
            "template": "report",
            "callback_doctype": "Report Request",
            "callback_name": "REQ-2025-00001",
        },
    )
    status = django_jobs.wait_for_job(job.name, timeout=60)
    assert status.output_reference is not None
    assert ReportRequest.objects.get(name="REQ-2025-00001").pdf_file == status.output_reference
