from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import migrations, models

import example_project.shop.models


def table(name: str, related_name: str, fields: dict[str, Any], **options: Any) -> migrations.CreateModel:
    """Return the operation that makes a table of rows that belong to an organization."""
    key = models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")
    has_index = related_name != "orders"  # those have one that begins with it
    organization = models.ForeignKey(
        settings.DJANGO_JOBS_ORGANIZATION_MODEL, models.CASCADE, related_name=related_name, db_index=has_index
    )
    return migrations.CreateModel(
        name=name, fields=[("id", key), *fields.items(), ("organization", organization)], options=options
    )


def unique(name: str, *fields: str) -> list[models.UniqueConstraint]:
    return [models.UniqueConstraint(fields=("organization", *fields), name=name)]


class Migration(migrations.Migration):
    initial = True
    dependencies = [migrations.swappable_dependency(settings.DJANGO_JOBS_ORGANIZATION_MODEL)]
    operations = [
        table(
            "Customer",
            "customers",
            {
                "name": models.CharField(max_length=120),
                "email": models.EmailField(max_length=254),
                "city": models.CharField(max_length=80),
            },
            ordering=("name", "id"),
            constraints=unique("shop_customer_by_email", "email"),
        ),
        table(
            "Product",
            "products",
            {
                "sku": models.CharField(max_length=20, verbose_name="SKU"),
                "name": models.CharField(max_length=120),
                "price": models.DecimalField(decimal_places=2, max_digits=8),
            },
            ordering=("sku", "id"),
            constraints=unique("shop_product_by_sku", "sku"),
        ),
        table(
            "Order",
            "orders",
            {
                "number": models.CharField(max_length=20),
                "ordered_on": models.DateField(),
                "quantity": models.PositiveSmallIntegerField(),
                "total": models.DecimalField(decimal_places=2, max_digits=10),
                "customer": models.ForeignKey("shop.customer", models.PROTECT, related_name="orders"),
                "product": models.ForeignKey("shop.product", models.PROTECT, related_name="orders"),
            },
            ordering=("-ordered_on", "-id"),
            constraints=unique("shop_order_by_number", "number"),
            indexes=[models.Index(fields=["organization", "ordered_on", "id"], name="shop_order_report")],
        ),
        table(
            "ReportRequest",
            "report_requests",
            {
                "name": models.CharField(
                    default=example_project.shop.models.new_request_name, max_length=20, unique=True
                ),
                "pdf_file": models.CharField(blank=True, max_length=255),
            },
            ordering=("-id",),
        ),
    ]
