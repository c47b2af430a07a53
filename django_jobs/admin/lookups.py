"""What an address may narrow, sort and search a list by: what the admin class declares, and nothing else.

Django's own admin takes any look-up of a model's own fields. Such look-ups would answer questions about values that the
pages mask, and a regular expression in one could keep the database busy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin
from django.contrib.admin.filters import FieldListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import get_fields_from_path
from django.contrib.admin.views.main import ChangeList
from django.contrib.admin.widgets import url_params_from_lookup_dict
from django.db.models import Field, QuerySet
from django.http import HttpRequest

from django_jobs.engine.json_storage import is_storable_text

if TYPE_CHECKING:
    BaseAdmin = admin.ModelAdmin[Any]
else:
    BaseAdmin = admin.ModelAdmin

#: At most so many characters of a search are looked for.
MAX_TERM: Final = 200
NUL: Final = "\x00"


class DeclaredList(ChangeList):
    """A page of rows. It can be sorted only by ``sortable_by``, and never shows a bound as the number of rows."""

    def get_ordering_field(self, field_name: Any) -> Any:
        return super().get_ordering_field(field_name) if field_name in (self.sortable_by or ()) else None

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if getattr(self.paginator, "is_cut", False):
            # Django would show the bound beside the search as the number of results.
            self.full_result_count = self.result_count

    def get_filters(self, request: HttpRequest) -> Any:
        # No row holds such a text, and some databases complain of it only when the list is read.
        if not all(is_storable_text(value) for values in self.get_filters_params().values() for value in values):
            raise IncorrectLookupParameters
        return super().get_filters(request)

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        rows = super().get_queryset(request, exclude_parameters)
        return rows.none() if any(map(is_unknown, self.filter_specs)) else rows


def is_unknown(item: Any) -> bool:
    """Return whether the address asks a filter of a list for what it does not offer."""
    return getattr(item, "is_unknown", False) is True


class DeclaredLookups(BaseAdmin):
    """Refuses every look-up but the parameters of ``list_filter`` and ``date_hierarchy``.

    It does so as Django refuses look-ups that it knows to be dangerous: with status 400 and a line of the logger
    ``django.security``.
    """

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return DeclaredList

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        return (
            lookup in self._declared_by_hierarchy()
            or any(lookup in self._parameters_of(item, request) for item in self.get_list_filter(request))
            or self._is_limit_of_a_key(lookup, value)
        )

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        """Search for the first characters only. For a long text Django nests more look-ups than databases can parse."""
        return super().get_search_results(request, queryset, clean_term(search_term))

    def _declared_by_hierarchy(self) -> set[str]:
        return {f"{self.date_hierarchy}__{part}" for part in ("year", "month", "day")} if self.date_hierarchy else set()

    def _parameters_of(self, item: Any, request: HttpRequest) -> list[str]:
        """Return the parameters of one item of ``list_filter``, asked of the filter that Django makes of it."""
        if name := getattr(item, "parameter_name", None):
            return [name]
        arguments: tuple[Any, ...] = (request, {}, self.model, self)
        if callable(item):
            made = item(*arguments)
        else:
            named, build = item if isinstance(item, tuple | list) else (item, FieldListFilter.create)
            path = named.name if isinstance(named, Field) else named
            made = build(get_fields_from_path(self.model, path)[-1], *arguments, field_path=path)
        return list(made.expected_parameters())

    def _is_limit_of_a_key(self, lookup: str, value: Any) -> bool:
        """Return whether a foreign key of the host has this look-up with this value in its ``limit_choices_to``."""
        limits = (limit() if callable(limit) else limit for limit in self.opts.related_fkey_lookups)
        return any((lookup, value) in url_params_from_lookup_dict(limit).items() for limit in limits)


def clean_term(text: str, limit: int = MAX_TERM) -> str:
    """Return the part of a typed text that is looked for: without NUL, and at most MAX_TERM characters."""
    return text.replace(NUL, "")[:limit]


#: Choices beside the single statuses: what failed, and of that what will be retried by itself.
FAILED_ALL: Final = "failed_all"


RETRYING: Final = "retrying"


#: A choice beside the single statuses: the changes that the monitor counts as failed attempts.
FAILURES: Final = "failures"
