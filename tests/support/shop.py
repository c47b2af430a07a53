"""The example project's shop with few rows, its jobs run in the test's process, and the quickstart's organization."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any, Final

from django.core.files.storage import default_storage

from django_jobs import JobStatus, get_job_status, submit_job
from django_jobs.models import Job, Organization
from django_jobs.testing import run_jobs
from example_project.shop import seeding
from example_project.shop.catalog import SHOPS
from example_project.shop.models import Customer, Order, OrderLine, Product
from example_project.shop.sales import draft_orders
from tests.support.factories import make_organization, make_user

JANUARY: Final = (date(2025, 1, 1), date(2025, 1, 31))


def make_shop() -> Organization:
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
    """The quickstart's organization with a month of the example shop's orders."""
    shop = SHOPS[0]
    seeding.seed_organization(shop, seeding.demo_password_hash())
    organization = Organization.objects.get(name=shop.organization)
    drafts = [draft for draft in draft_orders(shop) if JANUARY[0] <= draft.ordered_on <= JANUARY[1]]
    orders = seeding.make_orders(organization, seeding.make_customers(shop, organization), drafts)
    seeding.make_lines(orders, seeding.make_products(shop, organization), drafts)
    return organization
