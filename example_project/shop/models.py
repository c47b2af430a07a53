"""The data of a small mail-order shop. Every row belongs to one organization, itself or through its order."""

from __future__ import annotations

import secrets

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.text import get_valid_filename

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
    category = models.CharField(max_length=60)
    price = models.DecimalField(max_digits=8, decimal_places=2)

    class Meta:
        ordering = ("sku", "id")
        constraints = (models.UniqueConstraint(fields=("organization", "sku"), name="shop_product_by_sku"),)

    def __str__(self) -> str:
        return self.name


class Order(models.Model):
    organization = models.ForeignKey(ORGANIZATION, on_delete=models.CASCADE, related_name="orders", db_index=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="orders")
    number = models.CharField(max_length=20)
    ordered_on = models.DateField()
    total = models.DecimalField(max_digits=10, decimal_places=2, help_text="The sum of the lines, in euros.")

    class Meta:
        ordering = ("-ordered_on", "-id")
        constraints = (models.UniqueConstraint(fields=("organization", "number"), name="shop_order_by_number"),)
        indexes = (models.Index(fields=("organization", "ordered_on", "id"), name="shop_order_report"),)

    def __str__(self) -> str:
        return self.number


class OrderLine(models.Model):
    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="lines")
    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="lines")
    quantity = models.PositiveSmallIntegerField()
    unit_price = models.DecimalField(max_digits=8, decimal_places=2, help_text="On the day of the order.")
    amount = models.DecimalField(max_digits=10, decimal_places=2)

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return f"{self.quantity} x {self.product}"


def upload_path(upload: Upload, filename: str) -> str:
    """Return where an uploaded file goes: a directory for each organization, and a name that nobody can guess."""
    return f"uploads/{upload.organization_id}/{secrets.token_urlsafe(16)}/{get_valid_filename(filename)}"


class Upload(models.Model):
    """A file that a member of the organization uploaded for a job to read."""

    organization = models.ForeignKey(ORGANIZATION, on_delete=models.CASCADE, related_name="uploads")
    file = models.FileField(upload_to=upload_path, max_length=255)
    uploaded_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("-uploaded_at", "-id")

    def __str__(self) -> str:
        return str(self.file).rpartition("/")[2]


def new_request_name() -> str:
    return f"REQ-{timezone.now().year}-{secrets.token_hex(4).upper()}"


class ReportRequest(models.Model):
    """A request for a report. A job fills in ``pdf_file`` when the report is done."""

    name = models.CharField(max_length=20, unique=True, default=new_request_name)
    organization = models.ForeignKey(ORGANIZATION, on_delete=models.CASCADE, related_name="report_requests")
    requested_at = models.DateTimeField(default=timezone.now, editable=False)
    job_id = models.CharField(max_length=30, blank=True, help_text="The job that makes the report.")
    pdf_file = models.CharField(max_length=255, blank=True, help_text="The report's name in the output storage.")

    class Meta:
        ordering = ("-requested_at", "-id")

    def __str__(self) -> str:
        return self.name
