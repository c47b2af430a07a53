"""The demo's organizations, accounts, and three years of orders. Seeding twice changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.db import transaction

from django_jobs import schedule_job
from django_jobs.models import Membership, Organization, Schedule
from example_project.shop.catalog import SHOPS, Shop
from example_project.shop.models import Customer, Order, OrderLine, Product
from example_project.shop.sales import DraftOrder, draft_customers, draft_orders

# Known to everybody who reads this file, so it is given to nobody once DEBUG is off.
DEMO_PASSWORD: Final = "demo"  # noqa: S105
SUPERUSER: Final = "admin"
BATCH: Final = 2000

Say = Callable[[str], None]


def seed(say: Say) -> None:
    """Create everything that is missing, and report it line by line through ``say``."""
    password = demo_password_hash()
    say(seed_superuser(password))
    for shop in SHOPS:
        with transaction.atomic():
            say(seed_organization(shop, password))
            say(seed_shop(shop))
            say(seed_schedule(shop))


def demo_password_hash() -> str:
    # One hash for all: hashing is slow on purpose. None is a password that matches nothing.
    return make_password(DEMO_PASSWORD if settings.DEBUG else None)


def seed_superuser(password: str) -> str:
    made = account(SUPERUSER, password, is_staff=True, is_superuser=True)[1]
    return f"Superuser {SUPERUSER} {'made' if made else 'is there'}."


def seed_organization(shop: Shop, password: str) -> str:
    organization, made = Organization.objects.get_or_create(name=shop.organization, defaults={"title": shop.title})
    for username, role in ((shop.member, "member"), (shop.admin, "admin")):
        user, _ = account(username, password)
        Membership.objects.get_or_create(user=user, organization=organization, defaults={"role": role})
    state = "made" if made else "is there"
    return f"{shop.organization} {state}: {shop.title}, member {shop.member}, admin {shop.admin}."


def account(username: str, password: str, **flags: bool) -> tuple[Any, bool]:
    return get_user_model().objects.get_or_create(
        username=username,
        defaults={"email": f"{username}@example.com", "password": password, **flags},
    )


def seed_shop(shop: Shop) -> str:
    organization = Organization.objects.get(name=shop.organization)
    if Order.objects.filter(organization=organization).exists():
        return f"{shop.organization} has its orders."
    customers = make_customers(shop, organization)
    products = make_products(shop, organization)
    drafts = list(draft_orders(shop))
    orders = make_orders(organization, customers, drafts)
    make_lines(orders, products, drafts)
    made = f"{len(products)} products, {len(customers)} customers, {len(orders)} orders"
    return f"{shop.organization}: {made} made."


def seed_schedule(shop: Shop) -> str:
    """Let the shop's admin have statements made for each month, unless there is such a schedule already."""
    name = f"statements of {shop.organization}"
    if Schedule.objects.filter(name=name).exists():
        return f"{shop.organization} has its schedule."
    schedule_job(
        name,
        "bulk_statements",
        shop.organization,
        cron="0 6 1 * *",
        timezone="Europe/Berlin",
        jitter=3600,  # so that not all shops begin at once
        catch_up="skip",
        user=get_user_model().objects.get(username=shop.admin),
    )
    return f"{shop.organization}: schedule made: {name}, on the first of each month."


def make_customers(shop: Shop, organization: Organization) -> list[Customer]:
    return Customer.objects.bulk_create(
        Customer(organization=organization, name=draft.name, email=draft.email, city=draft.city)
        for draft in draft_customers(shop)
    )


def make_products(shop: Shop, organization: Organization) -> list[Product]:
    return Product.objects.bulk_create(
        Product(
            organization=organization,
            sku=article.sku,
            name=article.name,
            category=article.category,
            price=article.price,
        )
        for article in shop.articles
    )


def make_orders(organization: Organization, customers: list[Customer], drafts: list[DraftOrder]) -> list[Order]:
    return Order.objects.bulk_create(
        (
            Order(
                organization=organization,
                number=draft.number,
                customer=customers[draft.customer],
                ordered_on=draft.ordered_on,
                total=draft.total,
            )
            for draft in drafts
        ),
        batch_size=BATCH,
    )


def make_lines(orders: list[Order], products: list[Product], drafts: list[DraftOrder]) -> None:
    OrderLine.objects.bulk_create(
        (
            OrderLine(
                order=order,
                product=products[line.article],
                quantity=line.quantity,
                unit_price=line.unit_price,
                amount=line.amount,
            )
            for order, draft in zip(orders, drafts, strict=True)
            for line in draft.lines
        ),
        batch_size=BATCH,
    )
