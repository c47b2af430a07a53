"""What the filters of lists have in common: they take only what they offer, and tell whether a list needs a bound."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext

from django_jobs.engine.insight.filter import JobFilter

#: What an address means that names something that there is not.
NOTHING: Final = JobFilter(job_id=())
#: Characters of an asked value that are shown.
MAX_SHOWN: Final = 100


class BoundedFilter(admin.SimpleListFilter):
    """A filter that takes only what it offers. Where no index serves it, the list looks at the newest jobs alone.

    The list shows nothing where the address asks for what is not offered (``is_unknown``), such as a type that was
    deleted: whoever acts on all that match must not reach more than was asked for.
    """

    #: Whether a blank value in the address asks for something.
    takes_blank = False
    #: How many of the newest jobs ``queryset`` looked at; None if it left out no older ones.
    looks_back: int | None = None

    def __init__(self, request: HttpRequest, params: dict[str, list[str]], model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        self.offered = frozenset(str(value) for value, _ in self.lookup_choices)
        asked = self.value() or ""
        self.is_unknown = bool(asked) and asked not in self.offered
        if self.is_unknown:
            told = gettext("%(value)s: there is no such choice") % {"value": cut(asked)}
            self.lookup_choices = [*self.lookup_choices, (asked, told)]

    def chosen(self) -> str | None:
        """Return the choice that the address asks for, or None if it asks for none that is offered."""
        value = self.value()
        return value if value in self.offered else None

    def needs_bound(self) -> bool:
        """Return whether finding a page of the chosen jobs could mean to read all jobs."""
        return self.chosen() is not None

    def is_selective(self) -> bool:
        """Return whether the choice alone leaves so few jobs that no bound is needed."""
        return False


def cut(asked: str) -> str:
    """Return an asked value, as long as it is shown."""
    return asked if len(asked) <= MAX_SHOWN else f"{asked[:MAX_SHOWN]}…"


class ListedJobsFilter(BoundedFilter):
    """A filter of the jobs list. ``job_filter`` says which jobs a choice names, for the list and for acting on all."""

    def job_filter(self, asked: str) -> JobFilter:
        """Return the filter that names the jobs of this choice, however old."""
        raise NotImplementedError

    def needs_bound(self) -> bool:
        asked = self.chosen()
        return asked is not None and self.job_filter(asked).needs_bound

    def is_selective(self) -> bool:
        asked = self.chosen()
        return asked is not None and self.job_filter(asked).is_selective

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        asked = self.chosen()
        return queryset if asked is None else self.job_filter(asked).narrow(queryset)


class CountedFilter(ListedJobsFilter):
    """A filter that has beside each choice how many jobs it leaves, where the list has counted them."""

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Yield Django's choices, with the list's ``counts`` (by parameter and choice) and ``amount``, for people."""
        counts: Mapping[str, str] = getattr(changelist, "counts", {}).get(self.parameter_name, {})
        values = [None, *(str(value) for value, _ in self.lookup_choices)]
        for value, choice in zip(values, super().choices(changelist), strict=True):
            if value is not None and value in counts:
                # What is chosen is what the list shows, and that was counted anyhow.
                count = changelist.amount if choice["selected"] else counts[value]
                shown = format_html('{} <span class="djobs-count">{}</span>', choice["display"], count)
                choice |= {"display": shown}
            yield choice
