from __future__ import annotations

from django.contrib import admin

from example_project.shop.models import Customer, Order, OrderLine, Product


class OrderLineInline(admin.TabularInline):  # type: ignore[type-arg]
    model = OrderLine
    extra = 0
    autocomplete_fields = ("product",)


@admin.register(Customer)
class CustomerAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("name", "city", "email", "organization")
    list_filter = ("organization",)
    search_fields = ("name", "email")


@admin.register(Product)
class ProductAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("sku", "name", "category", "price", "organization")
    list_filter = ("organization", "category")
    search_fields = ("sku", "name")


@admin.register(Order)
class OrderAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("number", "ordered_on", "customer", "total", "organization")
    list_filter = ("organization",)
    list_select_related = ("customer", "organization")
    date_hierarchy = "ordered_on"
    search_fields = ("number", "customer__name")
    autocomplete_fields = ("customer",)
    inlines = (OrderLineInline,)
