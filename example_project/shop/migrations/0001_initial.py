from __future__ import annotations

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.DJANGO_JOBS_ORGANIZATION_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Customer",
            fields=[
                (
                    "id",
                    models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"),
                ),
                ("name", models.CharField(max_length=120)),
                ("email", models.EmailField(max_length=254)),
                ("city", models.CharField(max_length=80)),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="customers",
                        to=settings.DJANGO_JOBS_ORGANIZATION_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("name", "id"),
            },
        ),
        migrations.CreateModel(
            name="Order",
            fields=[
                (
                    "id",
                    models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"),
                ),
                ("number", models.CharField(max_length=20)),
                ("ordered_on", models.DateField()),
                (
                    "total",
                    models.DecimalField(decimal_places=2, help_text="The sum of the lines, in euros.", max_digits=10),
                ),
                (
                    "customer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="orders", to="shop.customer"
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="orders",
                        to=settings.DJANGO_JOBS_ORGANIZATION_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("-ordered_on", "-id"),
            },
        ),
        migrations.CreateModel(
            name="Product",
            fields=[
                (
                    "id",
                    models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"),
                ),
                ("sku", models.CharField(max_length=20, verbose_name="SKU")),
                ("name", models.CharField(max_length=120)),
                ("category", models.CharField(max_length=60)),
                ("price", models.DecimalField(decimal_places=2, max_digits=8)),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="products",
                        to=settings.DJANGO_JOBS_ORGANIZATION_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("sku", "id"),
            },
        ),
        migrations.CreateModel(
            name="OrderLine",
            fields=[
                (
                    "id",
                    models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"),
                ),
                ("quantity", models.PositiveSmallIntegerField()),
                (
                    "unit_price",
                    models.DecimalField(decimal_places=2, help_text="On the day of the order.", max_digits=8),
                ),
                ("amount", models.DecimalField(decimal_places=2, max_digits=10)),
                (
                    "order",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="lines", to="shop.order"
                    ),
                ),
                (
                    "product",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="lines", to="shop.product"
                    ),
                ),
            ],
            options={
                "ordering": ("id",),
            },
        ),
        migrations.AddConstraint(
            model_name="customer",
            constraint=models.UniqueConstraint(fields=("organization", "email"), name="shop_customer_by_email"),
        ),
        migrations.AddIndex(
            model_name="order",
            index=models.Index(fields=["organization", "ordered_on", "id"], name="shop_order_report"),
        ),
        migrations.AddConstraint(
            model_name="order",
            constraint=models.UniqueConstraint(fields=("organization", "number"), name="shop_order_by_number"),
        ),
        migrations.AddConstraint(
            model_name="product",
            constraint=models.UniqueConstraint(fields=("organization", "sku"), name="shop_product_by_sku"),
        ),
    ]
