"""Filters that somebody keeps under a name: links above the jobs list, and the page on which they are changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import partial
from typing import Any, Final
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.contrib.admin.views.main import SEARCH_VAR
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobs.admin.base import OwnPages, View, is_system_admin, keys_of
from django_jobs.admin.saved_filter_words import FilterWords
from django_jobs.engine.json_storage import is_storable_text
from django_jobs.engine.store import database
from django_jobs.models import SavedFilter
from django_jobs.models.organization import MAX_NAME, MAX_QUERY

#: So many a user may keep, and so many that others share are offered.
MOST: Final = 30
#: A shared filter with nothing but these names no tenant and nobody's job, so that all staff may see it.
HARMLESS: Final = frozenset({"status", "type", "priority", "created", "error", "pool"})


class NameForm(forms.Form):
    """The name of a saved filter, and whether others are offered it."""

    name = forms.CharField(max_length=MAX_NAME, label=gettext_lazy("Name"))
    is_shared = forms.BooleanField(required=False, label=gettext_lazy("For everybody who sees jobs"))


class SavedFilters(OwnPages):
    """Keeps filters of the list for its users. Shared ones are made by system admins."""

    def saved_views(self) -> dict[str, tuple[str, View]]:
        """Return the routes and views of saved filters, by name."""
        return {
            "saved_filters": ("saved-filters/", self._saved),
            "save_filter": ("saved-filters/save/", self._save),
            "rename_filter": ("saved-filters/<int:pk>/rename/", partial(self._change, change=self._rename)),
            "delete_filter": ("saved-filters/<int:pk>/delete/", partial(self._change, change=self._delete)),
        }

    def cleaned_query(self, request: HttpRequest, text: str) -> str:
        """Return those parts of a query string that this list knows: its filters and its search."""
        filters: Any = self.get_list_filter(request)
        known = {SEARCH_VAR, *(getattr(item, "parameter_name", "") for item in filters)} - {""}
        blank = {item.parameter_name for item in filters if getattr(item, "takes_blank", False)}
        asked = QueryDict(text[: 4 * MAX_QUERY])
        kept = {name: asked[name] for name in asked if name in known and (asked[name] or name in blank)}
        return urlencode({name: value for name, value in sorted(kept.items()) if is_storable_text(value)})

    def _saved(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        found = _without_too_many(self._changeable(request).select_related("user"), request.user)
        title = _("Saved filters")
        address = self.url_of("changelist")
        words = FilterWords(request, self, found)
        rows = [(item, f"{address}?{item.query}", words.told(item), item.user_id == request.user.pk) for item in found]
        may_share = is_system_admin(request)
        return self.page(
            request, "job/saved_filters.html", title, title, rows=rows, may_share=may_share, most_name=MAX_NAME
        )

    def _save(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        query = self.cleaned_query(request, request.POST.get("query", ""))
        if request.method == "POST":
            self.message_user(request, *self._saved_as(request, query))
        return HttpResponseRedirect(f"{self.url_of('changelist')}?{query}")

    def _saved_as(self, request: HttpRequest, query: str) -> tuple[str, int, str]:
        """Save the query under the posted name; return what to tell of it, at which level, and its code."""
        form, user = NameForm(request.POST), _user_of(request)
        own = SavedFilter.primary.filter(user_id=user.pk)
        if not query:
            text = _("Choose a filter or search for something first. Then it can be saved.")
            return text, messages.WARNING, "nothing_to_save"
        if len(query) > MAX_QUERY:
            return _("This search is too long to be saved."), messages.WARNING, "too_long"
        if not form.is_valid():
            text = _("Not saved: the name must have 1 to %(most)s characters.") % {"most": MAX_NAME}
            return text, messages.WARNING, "invalid_name"
        name = form.cleaned_data["name"]
        if own.exclude(name=name).count() >= MOST:
            text = _("Not saved: you have %(most)s saved filters already. Delete one that you do not need any more.")
            return text % {"most": MOST}, messages.WARNING, "too_many"
        is_shared = form.cleaned_data["is_shared"] and is_system_admin(request)
        values = {"query": query, "is_shared": is_shared}
        _row, is_new = SavedFilter.primary.update_or_create(user_id=user.pk, name=name, defaults=values)
        text = _("Saved as “%(name)s”.") if is_new else _("Saved as “%(name)s”, in place of what had this name.")
        return text % {"name": name}, messages.SUCCESS, "saved" if is_new else "replaced"

    def _change(self, request: HttpRequest, pk: int, *, change: Any) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        found = self._changeable(request).filter(pk__in=keys_of([str(pk)])).first()
        if request.method == "POST":
            gone = (_("This filter is not there any more."), messages.WARNING, "gone")
            self.message_user(request, *(gone if found is None else change(request, found)))
        return HttpResponseRedirect(self.url_of("saved_filters"))

    def _rename(self, request: HttpRequest, found: SavedFilter) -> tuple[str, int, str]:
        form = NameForm(request.POST)
        if not form.is_valid():
            text = _("Not changed: the name must have 1 to %(most)s characters.") % {"most": MAX_NAME}
            return text, messages.WARNING, "invalid_name"
        name = form.cleaned_data["name"]
        is_shared = form.cleaned_data["is_shared"] and is_system_admin(request)
        try:
            with transaction.atomic(using=database.alias()):
                SavedFilter.primary.filter(pk=found.pk).update(name=name, is_shared=is_shared)
        except IntegrityError:
            text = _("Not changed: another filter is called “%(name)s”.") % {"name": name}
            return text, messages.WARNING, "name_taken"
        return _("Changed: “%(name)s”.") % {"name": name}, messages.SUCCESS, "changed"

    @staticmethod
    def _delete(_request: HttpRequest, found: SavedFilter) -> tuple[str, int, str]:
        SavedFilter.primary.filter(pk=found.pk).delete()
        return _("Deleted: “%(name)s”.") % {"name": found.name}, messages.SUCCESS, "deleted"

    @staticmethod
    def _changeable(request: HttpRequest) -> QuerySet[SavedFilter]:
        """Return the filters that the user may change: their own, and for system admins the shared ones."""
        own = Q(user_id=request.user.pk)
        return SavedFilter.primary.filter(own | Q(is_shared=True) if is_system_admin(request) else own)


def offered_to(request: HttpRequest, types: Collection[str]) -> list[SavedFilter]:
    """Return the saved filters above the list: the user's own, and those that are shared with all.

    Staff who manage only some organizations are offered no shared filter that could name others. ``types`` are the
    job types that they know of.
    """
    user: Any = request.user
    rows = SavedFilter.primary.filter(Q(user_id=user.pk) | Q(is_shared=True))
    if is_system_admin(request):
        return _without_too_many(rows, user)
    return _without_too_many((item for item in rows if item.user_id == user.pk or _is_harmless(item, types)), user)


def _without_too_many(found: Iterable[SavedFilter], user: Any) -> list[SavedFilter]:
    """Return the user's own ones of these, and the first MOST that others share."""
    listed = list(found)
    others = [item.pk for item in listed if item.user_id != user.pk]
    too_many = set(others[MOST:])
    return [item for item in listed if item.pk not in too_many]


def _user_of(request: HttpRequest) -> Any:
    """Return the user, who is signed in: nobody else gets to these pages."""
    return request.user


def _is_harmless(item: SavedFilter, types: Collection[str]) -> bool:
    asked = QueryDict(item.query)
    return set(asked) <= HARMLESS and set(asked.getlist("type")) <= set(types)
