"""The quickstart's patterns, in Python with only the imports changed; a worker runs."""

from __future__ import annotations

from decimal import Decimal

import pytest

import django_jobs
from django_jobs import get_job_status, submit_job
from django_jobs.models import Job, Organization
from example_project.shop.models import Product
from tests.acceptance.steps import path_of, wait_for_all
from tests.support.shop import make_quickstart_shop
from tests.support.workers import ProcessPool


@pytest.fixture
def organization(transactional_db: None) -> Organization:
    return make_quickstart_shop()


def test_pattern_1_a_job_is_submitted_and_forgotten(processes: ProcessPool, organization: Organization) -> None:
    org = organization
    customer = org.customers.earliest("pk")
    submit_job(job_type="send_welcome_email", organization=org, parameters={"customer": customer.pk})

    processes.worker()
    wait_for_all(list(Job.objects.all()))


def test_pattern_2_a_chain_runs_in_its_order(processes: ProcessPool, organization: Organization) -> None:
    processes.worker()
    job_a = submit_job(job_type="generate_report", organization="ORG-2025-00001")

    job_b = submit_job(job_type="email_report", depends_on=job_a.name, organization="ORG-2025-00001")

    status = django_jobs.wait_for_job(job_b.name, timeout=60)
    assert status.result["attachments"] == ["sales-2025-12-01-to-2025-12-31.pdf"]
    completed = get_job_status(job_a.name).completed_at
    assert completed is not None
    assert status.started_at is not None
    assert completed <= status.started_at
    assert path_of(job_b) == ["Pending", "Queued", "Running", "Completed"]


def test_pattern_3_many_jobs_are_submitted_at_low_priority(processes: ProcessPool, organization: Organization) -> None:
    org, items = organization, Product.objects.filter(organization=organization)
    job_ids = []
    for item in items:
        job = submit_job(
            job_type="process_item",
            organization=org,
            parameters={"item_id": item.name},
            priority="Low",  # Low priority for bulk
        )
        job_ids.append(job.name)

    processes.worker()
    results = [django_jobs.wait_for_job(job_id, timeout=60) for job_id in job_ids]
    assert {status.priority for status in results} == {"Low"}
    revenue = sum(Decimal(status.result["revenue"]) for status in results)
    assert revenue == sum(order.total for order in organization.orders.all())
