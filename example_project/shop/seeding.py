"""The demo's organizations, accounts, and a year of orders. Seeding twice changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from random import Random
from typing import Any, Final

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.db import transaction

from django_jobs.models import Membership, Organization
from example_project.shop.catalog import CITIES, FIRST_NAMES, LAST_NAMES, SHOPS, Shop
from example_project.shop.models import Customer, Order, Product

# Known to everybody who reads this file, so it is given to nobody once DEBUG is off.
DEMO_PASSWORD: Final = "demo"  # noqa: S105
SUPERUSER: Final = "admin"
NEW_YEAR: Final = date(2025, 1, 1)
BATCH: Final = 2000


def seed(say: Callable[[str], None]) -> None:
    """Create everything that is missing, and report it line by line through ``say``."""
    # Hashing is slow on purpose, so one hash serves all. None is a password that matches nothing.
    password = make_password(DEMO_PASSWORD if settings.DEBUG else None)
    account(SUPERUSER, password, is_staff=True, is_superuser=True)
    for shop in SHOPS:
        with transaction.atomic():
            organization = seed_organization(shop, password)
            seed_orders(shop, organization)
        say(f"{shop.organization}: {shop.title}, member {shop.member}, admin {shop.admin}, {shop.orders:,} orders.")


def account(username: str, password: str, **flags: bool) -> Any:
    defaults = {"email": f"{username}@example.com", "password": password, **flags}
    return get_user_model().objects.get_or_create(username=username, defaults=defaults)[0]


def seed_organization(shop: Shop, password: str) -> Organization:
    organization, _ = Organization.objects.get_or_create(name=shop.organization, defaults={"title": shop.title})
    for username, role in ((shop.member, "member"), (shop.admin, "admin")):
        user = account(username, password)
        Membership.objects.get_or_create(user=user, organization=organization, defaults={"role": role})
    return organization


def seed_orders(shop: Shop, organization: Organization) -> None:
    """Make a year of believable orders, unless there are orders. The same shop gets the same ones everywhere."""
    if Order.objects.filter(organization=organization).exists():
        return
    chance = Random(shop.organization)
    products, customers = make_products(shop, organization), make_customers(shop, organization, chance)
    orders = (draft_order(number, shop, products, customers, chance) for number in range(shop.orders))
    Order.objects.bulk_create(orders, batch_size=BATCH)


def make_products(shop: Shop, organization: Organization) -> list[Product]:
    return Product.objects.bulk_create(
        Product(organization=organization, sku=sku, name=name, price=Decimal(price))
        for sku, name, price in shop.products
    )


def make_customers(shop: Shop, organization: Organization, chance: Random) -> list[Customer]:
    names = chance.sample([f"{first} {last}" for first in FIRST_NAMES for last in LAST_NAMES], shop.customers)
    return Customer.objects.bulk_create(
        Customer(
            organization=organization, name=name, email=f"customer{number}@example.com", city=chance.choice(CITIES)
        )
        for number, name in enumerate(names, start=1)
    )


def draft_order(number: int, shop: Shop, products: list[Product], customers: list[Customer], chance: Random) -> Order:
    """Return an order that is no row yet. A few regulars buy often, and sales grow over the year."""
    product, quantity = chance.choice(products), chance.choice((1, 1, 1, 2, 3))
    return Order(
        organization_id=product.organization_id,
        customer=customers[int(len(customers) * chance.random() ** 2)],
        product=product,
        number=f"{product.sku[:2]}-2025-{number + 1:05}",
        ordered_on=NEW_YEAR + timedelta(days=int(365 * (number / shop.orders) ** 0.85)),
        quantity=quantity,
        total=quantity * product.price,
    )
