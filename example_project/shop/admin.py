from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobs import submit_job
from django_jobs.exceptions import JobsError
from example_project.shop.models import Customer, Order, OrderLine, Product, ReportRequest, Upload


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


@admin.register(Upload)
class UploadAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("id", "__str__", "uploaded_at", "organization")
    list_filter = ("organization",)
    actions = ("import_customers",)

    @admin.action(description=gettext_lazy("Import the customers in these files"), permissions=["add"])
    def import_customers(self, request: HttpRequest, queryset: QuerySet[Upload]) -> None:
        for upload in queryset.select_related("organization"):
            try:
                job = submit_job("csv_import", upload.organization, {"upload": upload.pk}, user=request.user)
            except JobsError as refusal:
                self.message_user(request, f"{upload}: {refusal}", messages.ERROR)
            else:
                words = _("%(upload)s: submitted as %(job)s.") % {"upload": upload, "job": job.name}
                self.message_user(request, words)


@admin.register(ReportRequest)
class ReportRequestAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("name", "requested_at", "job_id", "pdf_file", "organization")
    list_filter = ("organization",)
    readonly_fields = ("job_id", "pdf_file")
