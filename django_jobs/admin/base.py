"""What the admins share: who may see and write, pages of their own, and lists of bounded cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import django
from django.contrib import admin, messages
from django.contrib.admin.helpers import AdminForm
from django.contrib.admin.models import CHANGE
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from django_jobs.admin.capped_counts import CappedCount
from django_jobs.admin.lookups import DeclaredLookups
from django_jobs.engine.access import get_policy
from django_jobs.engine.control import audit
from django_jobs.engine.store import database
from django_jobs.engine.store.counting import capped_count

if TYPE_CHECKING:
    BaseAdmin = admin.ModelAdmin[Any]
    BasePaginator = Paginator[Any]
else:
    BaseAdmin = admin.ModelAdmin
    BasePaginator = Paginator

View = Callable[..., Any]
#: A longer number is no key of any database.
MAX_DIGITS: Final = 18


def is_system_admin(request: HttpRequest) -> bool:
    """Whether the access policy lets this user manage every organization's jobs."""
    return get_policy().is_system_admin(request.user)


def keys_of(texts: Iterable[str]) -> list[int]:
    """The primary keys among these texts."""
    return [int(text) for text in texts if text.isdecimal() and len(text) <= MAX_DIGITS]


class CappedPaginator(BasePaginator):
    """Counts and pages no further than ``store.counting``; search and filters find what lies behind."""

    @cached_property
    def count(self) -> int:
        return self._counted[0]

    @property
    def is_cut(self) -> bool:
        """Whether there are more rows than were counted."""
        return self._counted[1]

    @property
    def amount(self) -> CappedCount:
        """How many rows there are, for people."""
        return CappedCount(count=self.count, is_cut=self.is_cut)

    @cached_property
    def _counted(self) -> tuple[int, bool]:
        rows: Any = self.object_list
        return capped_count(rows)


class SystemAdminWrites(DeclaredLookups):
    """Written by system admins alone; seen by them and by staff with the model's view permission."""

    # Facets would count every row.
    show_facets = admin.ShowFacets.NEVER

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        # A form that was filled from a replica which lags would write old values back.
        return super().get_queryset(request).using(database.alias())

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_system_admin(request) or super().has_view_permission(request, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return is_system_admin(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_system_admin(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_system_admin(request)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        # Django looks for the object first, and so tells whether there is one.
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        return super().history_view(request, object_id, extra_context)

    # In the place of Django's own, which write the rows alone.
    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> None:  # type: ignore[override]
        audit.record(request.user, [obj], audit.Act.ADDED, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> None:  # type: ignore[override]
        audit.record(request.user, [obj], audit.Act.CHANGED, message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None:  # type: ignore[override]
        audit.record(request.user, list(queryset), audit.Act.DELETED)


class NobodyWrites(SystemAdminWrites):
    """Seen by the same people, written by the engine alone; in pages of bounded cost, the newest first."""

    actions: Any = None
    paginator = CappedPaginator
    show_full_result_count = False
    list_max_show_all = 0
    list_per_page = 50
    # Only the primary key has an index over everything.
    ordering = ("-id",)
    sortable_by = ()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class OwnPages(BaseAdmin):
    """Pages and acts beside those that Django has."""

    class Media:
        css = {"all": ["django_jobs/admin.css"]}
        js = ["django_jobs/admin.js"]

    def own_views(self) -> dict[str, tuple[str, View]]:
        """By name, the route below the model's and the view."""
        return {}

    def get_urls(self) -> list[URLPattern]:
        prefix = f"{self.opts.app_label}_{self.opts.model_name}"
        own = [
            path(route, self.admin_site.admin_view(view), name=f"{prefix}_{name}")
            for name, (route, view) in self.own_views().items()
        ]
        return [*own, *super().get_urls()]

    def url_of(self, page: str, pk: Any = None) -> str:
        """The address of one of this model's pages."""
        name = f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}_{page}"
        return reverse(name, args=() if pk is None else (quote(pk),))

    def go_to(self, pk: Any) -> HttpResponseRedirect:
        """Back to an object's own page, which tells what was done."""
        return HttpResponseRedirect(self.url_of("change", pk))

    def find(self, request: HttpRequest, object_id: str) -> Any:
        """The object, if this user may see it; None when it is gone meanwhile, or never was."""
        return self.get_object(request, unquote(object_id))

    def gone(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """To the list, saying that there is no such object any more."""
        name = unquote(object_id)
        self.message_user(request, f"{self.opts.verbose_name} {name} is not there any more.", messages.WARNING)
        return HttpResponseRedirect(self.url_of("changelist"))

    def page(self, request: HttpRequest, template: str, title: str, place: str, **context: Any) -> TemplateResponse:
        """One of our pages inside Django's frame; ``place`` is the last word of its path."""
        values = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": title,
            "original": place,
            # The style sheets of either release know only its own.
            "crumbs_are_a_list": django.VERSION >= (6, 1),
            "media": self.media,
            "has_view_permission": self.has_view_permission(request),
            "back_url": self.url_of("changelist"),
            **context,
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, f"admin/django_jobs/{template}", values)

    def form_page(
        self, request: HttpRequest, form: Any, title: str, facts: list[tuple[str, Any]], **context: Any
    ) -> TemplateResponse:
        """A form in the look of Django's own; ``facts`` stand above it and cannot be changed."""
        names = list(form.fields)
        fieldsets = AdminForm(form, [(None, {"fields": names})], {}, model_admin=self)
        context |= {"form": form, "adminform": fieldsets, "errors": form.errors, "facts": facts}
        return self.page(request, "submit.html", title, title, **context)

    def remember(self, request: HttpRequest, objects: list[Any], message: str, flag: int = CHANGE) -> None:
        """Write what this user did to these objects into the admin's own history and the log."""
        audit.record(request.user, objects, audit.Act(flag), message)
