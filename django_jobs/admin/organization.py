from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.http import HttpRequest

from django_jobs.admin.base import SystemAdminWrites, is_system_admin
from django_jobs.conf import DEFAULT_ORGANIZATION_MODEL, organization_model_name
from django_jobs.engine.access import get_policy
from django_jobs.models import Membership, Organization


class OrganizationAdmin(SystemAdminWrites):
    list_display = ("name", "title", "is_active")
    list_filter = ("is_active",)
    search_fields = ("name", "title")
    ordering = ("name",)
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        if is_system_admin(request):
            return super().get_queryset(request)
        return get_policy().organizations_of(request.user)


class MembershipAdmin(SystemAdminWrites):
    list_display = ("user", "organization", "role")
    list_filter = ("role",)
    list_select_related = ("user", "organization")
    ordering = ("organization", "user")
    # Not autocompletion: that needs the host's user model in the admin.
    raw_id_fields = ("user", "organization")
    show_full_result_count = False

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        return [f"user__{get_user_model().USERNAME_FIELD}", "organization__name"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        if is_system_admin(request):
            return rows
        return rows.filter(organization__in=get_policy().organizations_of(request.user).values("pk"))


# A host's own tenants have their own members and admin.
if organization_model_name() == DEFAULT_ORGANIZATION_MODEL:
    admin.site.register(Organization, OrganizationAdmin)
    admin.site.register(Membership, MembershipAdmin)
