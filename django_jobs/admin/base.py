"""What the admins share: who may see and write, and pages that cost the same however long the history is."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin
from django.core.paginator import Paginator
from django.http import HttpRequest

from django_jobs.engine.access import get_policy

if TYPE_CHECKING:
    BaseAdmin = admin.ModelAdmin[Any]
    BasePaginator = Paginator[Any]
else:
    BaseAdmin = admin.ModelAdmin
    BasePaginator = Paginator

#: Rows that are counted and can be paged through; what lies behind is found by search and filters.
MAX_COUNTED: Final = 10_000


def is_system_admin(request: HttpRequest) -> bool:
    """Whether the access policy lets this user manage every organization's jobs."""
    return get_policy().is_system_admin(request.user)


class CappedPaginator(BasePaginator):
    """Counts no further than MAX_COUNTED."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by()[:MAX_COUNTED].count())


class SystemAdminWrites(BaseAdmin):
    """Written by system admins alone; seen by them and by staff with the model's view permission."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_system_admin(request) or super().has_view_permission(request, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return is_system_admin(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_system_admin(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_system_admin(request)


class NobodyWrites(SystemAdminWrites):
    """Seen by the same people, written by the engine alone; in pages of bounded cost, the newest first."""

    actions = None
    paginator = CappedPaginator
    show_full_result_count = False
    list_max_show_all = 0
    # Only the primary key has an index over everything.
    ordering = ("-id",)
    sortable_by = ()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
