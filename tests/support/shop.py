"""The example project's shop with few rows, its jobs run in the test's process, and the quickstart's organization."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from django.core.files.storage import default_storage

from django_jobs import JobStatus, get_job_status, submit_job
from django_jobs.models import Job, Organization
from django_jobs.testing import run_jobs
from example_project.shop import seeding
from example_project.shop.catalog import SHOPS
from example_project.shop.models import Customer, Order, Product
from tests.support.factories import make_organization, make_user


def make_shop() -> Organization:
    """An organization with an admin, two customers, and orders in January 2025 of one of them."""
    shop = make_organization(name="ORG-1", title="The Shop")
    make_user("bob", admin_of=[shop])
    customer = Customer.objects.create(organization=shop, name="Zoë", email="zoe@example.com", city="Köln")
    Customer.objects.create(organization=shop, name="Ana", email="ana@example.com", city="Bonn")
    product = Product.objects.create(organization=shop, sku="A-1", name="Mug", price=Decimal(5))
    Order.objects.create(
        organization=shop,
        customer=customer,
        product=product,
        number="1",
        ordered_on=date(2025, 1, 7),
        quantity=2,
        total=Decimal(10),
    )
    return shop


def report_of(organization: Organization, **parameters: Any) -> Job:
    return submit_job("pdf_generation", organization, {"template": "monthly_report", **parameters})


def run(job: Job) -> JobStatus:
    """What became of the job, and of all that waited for it."""
    run_jobs(retries=True)
    return get_job_status(job)


def read(reference: str | None) -> str:
    with default_storage.open(reference or "") as file:
        return str(file.read().decode())


def make_quickstart_shop() -> Organization:
    """The quickstart's organization with some orders of each month of 2025."""
    shop = replace(SHOPS[0], orders=120)
    organization = seeding.seed_organization(shop, "!")
    seeding.seed_orders(shop, organization)
    return organization
