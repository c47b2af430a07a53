"""What a small mail-order shop keeps. Every row belongs to one organization, itself or through its order."""

from __future__ import annotations

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
