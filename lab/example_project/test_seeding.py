"""What the demo begins with: organizations, people, and a year of orders."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.contrib.auth import get_user_model
from django.test import override_settings

from django_jobs.engine.job_types import types
from django_jobs.models import Membership
from example_project import settings as example_settings
from example_project.shop import seeding
from example_project.shop.catalog import SHOPS
from example_project.shop.models import Customer, Order, Product
from tests.support import verbs

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("broker")]


def counts() -> list[int]:
    return [model.objects.count() for model in (Customer, Product, Order, Membership)]


def test_seeding_makes_two_shops_with_people_and_changes_nothing_when_repeated() -> None:
    seeding.seed(print)
    made = counts()
    seeding.seed(print)

    assert counts() == made
    assert Order.objects.count() == sum(shop.orders for shop in SHOPS)
    assert sorted(Membership.objects.values_list("organization__name", "user__username", "role")) == [
        ("ORG-2025-00001", "alice", "member"),
        ("ORG-2025-00001", "bob", "admin"),
        ("ORG-2025-00002", "carol", "member"),
        ("ORG-2025-00002", "dave", "admin"),
    ]


def test_orders_span_a_year_and_the_same_shop_gets_the_same_ones() -> None:
    shop = replace(SHOPS[0], orders=50)
    organization = seeding.seed_organization(shop, "!")
    seeding.seed_orders(shop, organization)
    facts = list(organization.orders.values_list("number", "ordered_on", "total", "customer__email"))
    organization.orders.all().delete()
    organization.customers.all().delete()
    organization.products.all().delete()
    seeding.seed_orders(shop, organization)

    assert list(organization.orders.values_list("number", "ordered_on", "total", "customer__email")) == facts
    assert {day.year for _, day, _, _ in facts} == {2025}


def test_the_demo_password_opens_accounts_only_while_debug_is_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeding, "SHOPS", ())
    seeding.seed(print)
    assert not get_user_model().objects.get(username="admin").has_usable_password()
    get_user_model().objects.all().delete()
    with override_settings(DEBUG=True):
        seeding.seed(print)
    assert get_user_model().objects.get(username="admin").check_password("demo")


def test_the_nightly_report_is_declared_rightly() -> None:
    (declaration,) = types._declared["pdf_generation"].values()
    assert example_settings.NIGHTLY_REPORT is not None
    declared = replace(declaration, schedules=(example_settings.NIGHTLY_REPORT,))
    (found,) = verbs.schedules_of(declared)
    assert (found.name, found.problems) == ("nightly_report", ())
