"""The data of a small mail-order shop. Every row belongs to one organization."""

from __future__ import annotations

import secrets
from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import models

ORGANIZATION = settings.DJANGO_JOBS_ORGANIZATION_MODEL


class Customer(models.Model):
    organization = models.ForeignKey(ORGANIZATION, on_delete=models.CASCADE, related_name="customers")
    name = models.CharField(max_length=120)
    email = models.EmailField()
    city = models.CharField(max_length=80)

    class Meta:
        ordering = ("name", "id")
        constraints = (models.UniqueConstraint(fields=("organization", "email"), name="shop_customer_by_email"),)

    def __str__(self) -> str:
        return self.name


class Product(models.Model):
    organization = models.ForeignKey(ORGANIZATION, on_delete=models.CASCADE, related_name="products")
    sku = models.CharField("SKU", max_length=20)
    name = models.CharField(max_length=120)
    price = models.DecimalField(max_digits=8, decimal_places=2)

    class Meta:
        ordering = ("sku", "id")
        constraints = (models.UniqueConstraint(fields=("organization", "sku"), name="shop_product_by_sku"),)

    def __str__(self) -> str:
        return self.name


class Order(models.Model):
    """Some pieces of one product. ``total`` is in euros."""

    organization = models.ForeignKey(ORGANIZATION, on_delete=models.CASCADE, related_name="orders", db_index=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="orders")
    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="orders")
    number = models.CharField(max_length=20)
    ordered_on = models.DateField()
    quantity = models.PositiveSmallIntegerField()
    total = models.DecimalField(max_digits=10, decimal_places=2)

    class Meta:
        ordering = ("-ordered_on", "-id")
        constraints = (models.UniqueConstraint(fields=("organization", "number"), name="shop_order_by_number"),)
        indexes = (models.Index(fields=("organization", "ordered_on", "id"), name="shop_order_report"),)

    def __str__(self) -> str:
        return self.number


def month_of(day: date) -> tuple[date, date]:
    """Return the first and the last day of the month."""
    return day.replace(day=1), day.replace(day=monthrange(day.year, day.month)[1])


def last_full_month(organization_pk: Any) -> tuple[date, date]:
    """Return the first and the last day of the latest month that is over and has orders, else of the last month."""
    this_month = datetime.now(UTC).date().replace(day=1)
    over = Order.objects.filter(organization_id=organization_pk, ordered_on__lt=this_month)
    newest: date | None = over.values_list("ordered_on", flat=True).first()
    return month_of(newest or this_month - timedelta(days=1))


def new_request_name() -> str:
    return f"REQ-{secrets.token_hex(4).upper()}"


class ReportRequest(models.Model):
    """A request for a report. A job fills in ``pdf_file``, a name in the output storage, when the report is done."""

    organization = models.ForeignKey(ORGANIZATION, on_delete=models.CASCADE, related_name="report_requests")
    name = models.CharField(max_length=20, unique=True, default=new_request_name)
    pdf_file = models.CharField(max_length=255, blank=True)

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return self.name
