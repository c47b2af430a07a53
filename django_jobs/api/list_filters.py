"""What the filters of lists have in common: the organization, and how wrong parameters are refused."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any, ClassVar

import django_filters
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.template import loader
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import serializers

from django_jobs.api.fields import GIVE_ONE, refuse_unknown
from django_jobs.api.filter_fields import SeveralFilter
from django_jobs.engine.access import organizations_named, unknown_organization
from django_jobs.engine.store.counting import created_between
from django_jobs.texts import code_of, say


class ListFilter(django_filters.FilterSet):  # type: ignore[misc]
    """Find rows by the parameters of a list. Only those that are read by a SeveralFilter may be repeated."""

    organization = django_filters.CharFilter(label="Organization", method="in_organization", help_text="Its id.")

    def in_organization(self, rows: Any, name: str, value: str) -> Any:
        """Return the organization's rows. ``is_valid`` has read its key."""
        return rows.filter(organization_id=self._organizations[value])

    def created(self, rows: Any, name: str, value: dt.datetime) -> Any:
        """Return the rows that were made at or after a moment, or before it, as the parameter's name says."""
        return created_between(rows, **{name.removeprefix("created_"): value})

    def matching(self) -> Any:
        """Return the rows that match. The REST framework's ValidationError names the parameters that are wrong.

        The errors are translated here, because django-filter's own way fails at a percent sign in a message.
        """
        wrong = {} if self.is_valid() else {name: _coded(found) for name, found in self.errors.as_data().items()}
        wrong |= self._repeated()
        if wrong:
            raise serializers.ValidationError(wrong)
        rows: Any = self.qs
        return rows

    def _repeated(self) -> dict[str, list[str]]:
        """The errors of parameters that were given twice but have one value: to choose one would be a guess."""
        several = {name for name, item in self.base_filters.items() if isinstance(item, SeveralFilter)}
        given = self.data.lists() if isinstance(self.data, QueryDict) else ()
        return {name: [GIVE_ONE] for name, values in given if len(values) > 1 and name not in several}

    def is_valid(self) -> bool:
        """Return whether all parameters are right.

        An organization that the user may not know of is refused like one that does not exist.
        """
        self._organizations: dict[str, Any] = {}
        valid = bool(super().is_valid())
        name = self.form.cleaned_data.get("organization")
        if name:
            self._organizations = organizations_named({name}, getattr(self.request, "user", None))
            if name not in self._organizations:
                text = unknown_organization(name)
                self.form.add_error("organization", ValidationError(text, code=code_of(text)))
                return False
        return valid


def _coded(errors: Iterable[ValidationError]) -> list[str]:
    return [say("%(text)s", code=error.code or "", text=text) for error in errors for text in error]


class ListFilterBackend(DjangoFilterBackend):  # type: ignore[misc]
    """Filter a list by the view's filters, and refuse parameters that these do not have.

    ``page_parameters`` are those that are no filters.
    """

    #: The pagination reads the first two, the REST framework ``format``.
    page_parameters: ClassVar[tuple[str, ...]] = ("limit", "offset", "format")

    def filter_queryset(self, request: Any, queryset: Any, view: Any) -> Any:
        refuse_unknown(request.query_params, [*view.filterset_class.base_filters, *self.page_parameters])
        return self.get_filterset(request, queryset, view).matching()

    def to_html(self, request: Any, queryset: Any, view: Any) -> str:
        """Return the filters as a form that shows beside each what is wrong with it, an unknown organization too."""
        filterset = self.get_filterset(request, queryset, view)
        filterset.is_valid()
        return loader.get_template(self.template).render({"filter": filterset}, request)
