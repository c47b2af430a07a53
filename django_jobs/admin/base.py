"""What the admins share: who may see and write, pages of their own, and lists of bounded cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import django
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME, AdminForm
from django.contrib.admin.models import CHANGE
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import CharField, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _

from django_jobs.admin.capped_counts import CappedCount
from django_jobs.admin.lookups import BaseAdmin, DeclaredLookups
from django_jobs.admin.seen_organizations import seen_by
from django_jobs.engine.access import get_policy, key_in
from django_jobs.engine.control import audit
from django_jobs.engine.json_storage import is_storable_text
from django_jobs.engine.store import database
from django_jobs.engine.store.counting import capped_count

if TYPE_CHECKING:
    BasePaginator = Paginator[Any]
else:
    BasePaginator = Paginator

View = Callable[..., Any]


def is_system_admin(request: HttpRequest) -> bool:
    """Return whether the access policy lets this user manage every organization's jobs; asked once for a request."""
    return seen_by(request).is_system_admin


def sees_jobs(user: Any) -> bool:
    """Return whether this user sees pages about jobs: system admins do, and staff with that permission."""
    return get_policy().is_system_admin(user) or bool(user.is_active and user.has_perm("django_jobs.view_job"))


def address_to_go_back_to(request: HttpRequest) -> str:
    """Return the field ``next`` of a form if it is an address of this site, else an empty text."""
    address = request.POST.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(address, {request.get_host()}, require_https=request.is_secure())
    return address if is_ours else ""


def keys_of(texts: Iterable[str]) -> list[int]:
    """Return the primary keys among these texts; the other texts are left out."""
    return [key for text in texts if (key := key_in(text)) is not None]


class CappedPaginator(BasePaginator):
    """Counts and pages no further than the bound in ``store.counting``. Search and filters find the rows behind it."""

    @cached_property
    def count(self) -> int:
        return self._counted[0]

    @property
    def is_cut(self) -> bool:
        """Return whether there are more rows than were counted."""
        return self._counted[1]

    @property
    def amount(self) -> CappedCount:
        """Return how many rows there are, for people."""
        return CappedCount(count=self.count, is_cut=self.is_cut)

    @cached_property
    def _counted(self) -> tuple[int, bool]:
        rows: Any = self.object_list
        # Without the values that only a page's rows need.
        return capped_count(rows.values("pk"))


class SystemAdminWrites(DeclaredLookups):
    """Only system admins write the model. They see it, and so do staff with the model's view permission."""

    # Facets would count every row for every choice.
    show_facets = admin.ShowFacets.NEVER

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        # A form that was filled from a lagging replica would write old values back.
        return super().get_queryset(request).using(database.alias())

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        # PostgreSQL refuses to look for a text that it cannot store, such as one with the character NUL.
        return super().get_object(request, object_id, from_field) if is_storable_text(object_id) else None

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_system_admin(request) or super().has_view_permission(request, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return is_system_admin(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_system_admin(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_system_admin(request)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        # Django looks for the object first, and its answer tells whether there is one.
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        return super().history_view(request, object_id, extra_context)

    # Django's own methods write only the rows of the history; these also write the log.
    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> None:  # type: ignore[override]
        audit.record(request.user, [obj], audit.Act.ADDED, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> None:  # type: ignore[override]
        audit.record(request.user, [obj], audit.Act.CHANGED, message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None:  # type: ignore[override]
        audit.record(request.user, list(queryset), audit.Act.DELETED)


class NobodyWrites(SystemAdminWrites):
    """Only the engine writes the model. The same people see it, in pages of bounded cost, the newest rows first."""

    actions: Any = None
    paginator = CappedPaginator
    show_full_result_count = False
    list_max_show_all = 0
    list_per_page = 50
    # Only the primary key has an index that covers all rows.
    ordering = ("-id",)
    sortable_by = ()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class OwnPages(BaseAdmin):
    """Adds pages and buttons to those that Django has."""

    class Media:
        css = {"all": ["django_jobs/admin.css"]}

    def own_views(self) -> dict[str, tuple[str, View]]:
        """Return the added views: by name, the route below the model's and the view."""
        return {}

    def get_urls(self) -> list[URLPattern]:
        prefix = f"{self.opts.app_label}_{self.opts.model_name}"
        own = [
            path(route, self.admin_site.admin_view(view), name=f"{prefix}_{name}")
            for name, (route, view) in self.own_views().items()
        ]
        return [*own, *super().get_urls()]

    def url_of(self, page: str, pk: Any = None) -> str:
        """Return the address of one of this model's pages, of the list or, with ``pk``, of a row."""
        name = f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}_{page}"
        return reverse(name, args=() if pk is None else (quote(pk),))

    def go_to(self, pk: Any) -> HttpResponseRedirect:
        """Return a redirect to an object's own page, which shows the messages."""
        return HttpResponseRedirect(self.url_of("change", pk))

    def go_back(self, request: HttpRequest, pk: Any) -> HttpResponseRedirect:
        """Return a redirect to where a form of another page wants to go back to, else to an object's own page."""
        return HttpResponseRedirect(address_to_go_back_to(request) or self.url_of("change", pk))

    def find(self, request: HttpRequest, object_id: str) -> Any:
        """Return the object if it is there and this user may see it, else None."""
        return self.get_object(request, unquote(object_id))

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any], *args: Any, **kwargs: Any) -> Any:
        # A form of ours holds keys alone. Django would ask the database for anything, which refuses some of it.
        is_text = isinstance(self.opts.pk, CharField)
        for text in request.POST.getlist(ACTION_CHECKBOX_NAME):
            if not (is_storable_text(text) if is_text else keys_of([text])):
                return self.gone(request, quote(text))
        return super().response_action(request, queryset, *args, **kwargs)

    def gone(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Return a redirect to the list, with the message that the object is not there any more."""
        name = unquote(object_id)
        text = _("%(kind)s %(name)s is not there any more.") % {"kind": self.opts.verbose_name, "name": name}
        self.message_user(request, text, messages.WARNING, extra_tags="gone")
        return HttpResponseRedirect(self.url_of("changelist"))

    def page(self, request: HttpRequest, template: str, title: str, place: str, **context: Any) -> TemplateResponse:
        """Return one of our pages inside Django's frame. ``place`` is the last word of the breadcrumbs."""
        values = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": title,
            "original": place,
            # Each release's style sheets know only the markup of that release.
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
        """Return a page with a form that looks like Django's own.

        ``facts`` stand above the form and cannot be changed.
        """
        names = list(form.fields)
        fieldsets = AdminForm(form, [(None, {"fields": names})], {}, model_admin=self)
        context |= {"form": form, "adminform": fieldsets, "errors": form.errors, "facts": facts}
        return self.page(request, "submit.html", title, title, **context)

    def remember(self, request: HttpRequest, objects: list[Any], message: str, flag: int = CHANGE) -> None:
        """Write what this user did to these objects into the admin's own history and the log."""
        audit.record(request.user, objects, audit.Act(flag), message)


class SeesJobs(OwnPages, NobodyWrites):
    """Pages about jobs that everybody sees who may see jobs: system admins, and staff with that permission."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return sees_jobs(request.user)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)
