from __future__ import annotations

from django.contrib import admin

from example_project.shop.models import Customer, Order, Product, ReportRequest


@admin.register(Customer, Order, Product, ReportRequest)
class ShopAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("__str__", "organization")
    list_filter = ("organization",)
