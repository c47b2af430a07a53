from __future__ import annotations

from datetime import date
from decimal import Decimal
from io import BytesIO

import pytest
from django.contrib.auth import get_user_model
from django.test import override_settings
from pypdf import PdfReader

from django_jobs.models import JobType, Membership, Organization
from django_jobs.testing import make_context
from example_project.shop import seeding
from example_project.shop.jobs import pdf_generation
from example_project.shop.models import Customer, Order, OrderLine, Product
from example_project.shop.periods import Period
from example_project.shop.reports import build_report, last_full_month

pytestmark = pytest.mark.django_db

JANUARY = Period(start=date(2025, 1, 1), end=date(2025, 1, 31))


@pytest.fixture
def shop() -> Organization:
    return Organization.objects.create(name="ORG-1", title="One")


def place(shop: Organization, day: date, *, quantity: int = 1, number: str = "1", customer: str = "Zoë") -> Order:
    buyer, _ = Customer.objects.get_or_create(organization=shop, name=customer, email=f"{customer}@example.com")
    product, _ = Product.objects.get_or_create(
        organization=shop, sku="A", defaults={"name": "Müsli", "category": "Food", "price": Decimal("0.10")}
    )
    amount = quantity * product.price
    order = Order.objects.create(organization=shop, customer=buyer, number=number, ordered_on=day, total=amount)
    OrderLine.objects.create(order=order, product=product, quantity=quantity, unit_price=product.price, amount=amount)
    return order


def test_a_report_holds_the_orders_of_its_organization_and_period_only(shop: Organization) -> None:
    place(shop, date(2024, 12, 31), number="before")
    place(shop, date(2025, 1, 1), number="first")
    place(shop, date(2025, 1, 31), number="last", quantity=2)
    place(shop, date(2025, 2, 1), number="after")
    place(Organization.objects.create(name="ORG-2", title="Two"), date(2025, 1, 15), number="foreign")
    report = build_report(shop, JANUARY)
    assert [order.number for order in report.orders] == ["first", "last"]
    assert report.total == Decimal("0.30")
    assert report.items == 3


def test_rankings_add_up_units_and_orders(shop: Organization) -> None:
    place(shop, date(2025, 1, 1), number="1", quantity=3, customer="Ana")
    place(shop, date(2025, 1, 2), number="2", quantity=1, customer="Bo")
    place(shop, date(2025, 1, 3), number="3", quantity=1, customer="Bo")
    report = build_report(shop, JANUARY)
    assert [(best.name, best.count, best.amount) for best in report.products] == [("Müsli", 5, Decimal("0.50"))]
    assert [(best.name, best.count, best.amount) for best in report.customers] == [
        ("Ana", 1, Decimal("0.30")),
        ("Bo", 2, Decimal("0.20")),
    ]


def test_the_period_that_nobody_asked_for_is_the_last_full_month_with_orders(shop: Organization) -> None:
    place(shop, date(2025, 1, 20), number="1")
    place(shop, date(2025, 3, 2), number="2")
    assert last_full_month(Order.objects.all(), today=date(2025, 3, 15)) == JANUARY


def test_without_any_orders_the_period_is_the_last_month(shop: Organization) -> None:
    assert last_full_month(Order.objects.all(), today=date(2025, 2, 1)) == JANUARY


def test_the_handler_stores_a_pdf_and_says_what_it_holds(shop: Organization) -> None:
    place(shop, date(2025, 1, 7), quantity=123)
    wanted = {"template": "monthly_report", "date_range": ["2025-01-01", "2025-01-31"]}
    context = make_context(wanted, organization=shop, job_type="pdf_generation")
    result = pdf_generation(context)
    ((reference, content),) = context.outputs.items()
    assert result == {"output_reference": reference, "pages": 3, "orders": 1, "total": "12.30"}
    assert reference.endswith("/sales-2025-01-01-to-2025-01-31.pdf")
    assert "12.30" in PdfReader(BytesIO(content)).pages[0].extract_text()
    assert context.progress == [
        (0, "Reading orders"),
        (33, "Page 1 of 3"),
        (66, "Page 2 of 3"),
        (99, "Page 3 of 3"),
    ]


def test_the_handler_makes_a_pdf_for_an_organization_without_orders(shop: Organization) -> None:
    context = make_context(organization=shop, job_type="pdf_generation")
    assert pdf_generation(context)["orders"] == 0
    assert len(context.outputs) == 1


def row_counts() -> list[int]:
    return [
        Customer.objects.count(),
        Product.objects.count(),
        Order.objects.count(),
        OrderLine.objects.count(),
        Membership.objects.count(),
        JobType.objects.count(),
    ]


def test_seeding_makes_two_shops_with_people_and_changes_nothing_when_repeated() -> None:
    seeding.seed(print)
    counts = row_counts()
    seeding.seed(print)
    assert row_counts() == counts
    assert sorted(Membership.objects.values_list("organization__name", "user__username", "role")) == [
        ("ORG-2025-00001", "alice", "member"),
        ("ORG-2025-00001", "bob", "admin"),
        ("ORG-2025-00002", "carol", "member"),
        ("ORG-2025-00002", "dave", "admin"),
    ]


def test_the_demo_password_opens_accounts_only_while_debug_is_on() -> None:
    seeding.seed_superuser(seeding.demo_password_hash())
    assert not get_user_model().objects.get(username="admin").has_usable_password()
    get_user_model().objects.all().delete()
    with override_settings(DEBUG=True):
        seeding.seed_superuser(seeding.demo_password_hash())
    assert get_user_model().objects.get(username="admin").check_password("demo")
