"""The list of jobs: what it reads, how far it looks, and how it is searched."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.contrib.admin.views.main import SEARCH_VAR
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.translation import gettext as _

from django_jobs.admin import filter_counts
from django_jobs.admin.base import is_system_admin
from django_jobs.admin.bounded_filters import BoundedFilter
from django_jobs.admin.filter_counts import Counts
from django_jobs.admin.job_filters import OrganizationFilter, TypeFilter
from django_jobs.admin.job_paging import FEW, has_error_chosen, is_in_order, is_looked_for, light, look_for, named
from django_jobs.admin.job_search import Understood, understand, understood
from django_jobs.admin.lookups import DeclaredList, is_unknown
from django_jobs.admin.numbers import format_number
from django_jobs.admin.saved_filters import offered_to
from django_jobs.admin.seen_organizations import Seen, organizations_of
from django_jobs.engine.insight.search import RECENT, among_newest
from django_jobs.engine.store import organization_ids
from django_jobs.models import Batch, SavedFilter
from django_jobs.models.organization import MAX_NAME


class JobList(DeclaredList):
    """A page of the jobs that a user may see. ``looks_back`` is how many of the newest were looked at; None for all."""

    looks_back: int | None = None
    understood: Understood
    #: The primary keys of the list's jobs, where they were looked for one by one; else None.
    keys: list[int] | None = None

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        self.understood = understood(request, self.query)
        # The search comes after the filters, because these say of which jobs the newest are searched.
        typed, self.query = self.query, ""
        rows = super().get_queryset(request, exclude_parameters)
        self.query = typed
        self.request = request
        rows, looked_at = self._searched(rows)
        bounds = [looked_at, *(item.looks_back for item in self.filter_specs if isinstance(item, BoundedFilter))]
        if self._needs_bound(self.filter_specs):
            rows, is_bounded = among_newest(rows, self._scope(), RECENT)
            bounds.append(RECENT if is_bounded else None)
        self.looks_back = min((most for most in bounds if most is not None), default=None)
        search = None if self.understood.meaning is None else self.understood.meaning.search
        if is_looked_for(self.filter_specs, search):
            # Count, page and the numbers beside the filters would each look for them again.
            self.keys = look_for(rows, search, has_error=has_error_chosen(self.filter_specs))
        found: Any = light(rows if self.keys is None or len(self.keys) > FEW else named(self.keys))
        found.keys = self.keys
        found.is_in_order = self.looks_back is None and is_in_order(self.filter_specs, search, self._scope())
        return found  # type: ignore[no-any-return]

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        organization_ids.mark(self.result_list)
        mark_batches(self.result_list)
        for job in self.result_list:
            job.narrowed = self.narrowed

    def narrowed(self, **query: Any) -> str:
        """Return the address of this list narrowed by one filter more, or searched for something else (``q``)."""
        return self.get_query_string({SEARCH_VAR if name == "q" else name: value for name, value in query.items()})

    @cached_property
    def saved(self) -> list[SavedFilter]:
        """Return the saved filters that the user is offered."""
        types = (item.offered for item in self.filter_specs if isinstance(item, TypeFilter))
        return offered_to(self.request, frozenset().union(*types))

    @cached_property
    def saveable(self) -> str:
        """Return what narrows the list now, as it would be saved; empty if nothing does."""
        admin: Any = self.model_admin
        return str(admin.cleaned_query(self.request, self.request.GET.urlencode()))

    most_name = MAX_NAME

    @property
    def may_share(self) -> bool:
        """Return whether the user may save filters for others."""
        return is_system_admin(self.request)

    @property
    def looks_back_text(self) -> str:
        """Return how many of the newest jobs were looked at, for people."""
        return format_number(self.looks_back) if self.looks_back else ""

    @property
    def counts_note(self) -> str:
        """Return what the numbers beside the filters mean, where they are of the newest jobs alone."""
        counts = self.counts
        if not (counts and self.counts_are_cut):
            return ""
        told = _(
            "Numbers beside the filters are counted among the newest %(count)s jobs; a plus means at least so many."
        )
        return told % {"count": format_number(filter_counts.NEWEST)}

    @property
    def other_meanings(self) -> list[tuple[str, str]]:
        """Return what else the typed text could mean: sentence and address of each."""
        return [(other.sentence, self.narrowed(q=other.text)) for other in self.understood.others]

    @cached_property
    def counts(self) -> dict[str, dict[str, str]]:
        """Return how many jobs the choices of filters leave, by the filter's parameter and the choice."""
        found: dict[str, Counts] = {}
        chosen = {_name_of(item) for item in self.filter_specs if self._is_chosen(item)}
        if not chosen and not self.query and organizations_of(self.request) is None:
            found["status"] = filter_counts.of_all_statuses()
        left = [name for name in filter_counts.COLUMNS if name not in found]
        # Filters that are not in use see the same jobs.
        for names in ([name for name in left if name not in chosen], *([name] for name in left if name in chosen)):
            found |= self._counted(names) if names else {}
        self.counts_are_cut = any(counts.is_cut for counts in found.values())
        return {name: counts.for_people() for name, counts in found.items()}

    counts_are_cut = False

    @property
    def amount(self) -> str:
        """Return how many jobs the list has, for people; a plus means at least so many."""
        is_cut = self.paginator.is_cut or self.looks_back is not None
        return format_number(self.result_count) + ("+" if is_cut else "")

    def _counted(self, names: Collection[str]) -> dict[str, Counts]:
        chosen = {_name_of(item) for item in self.filter_specs if self._is_chosen(item)}
        if self.keys is not None and chosen.isdisjoint(names):
            return filter_counts.of_keys(self.keys, names, is_cut=self.looks_back is not None)
        others = [item for item in self.filter_specs if _name_of(item) not in names]
        rows = self.root_queryset.none() if any(map(is_unknown, others)) else self.root_queryset
        for item in others:
            narrowed = item.queryset(self.request, rows)
            rows = rows if narrowed is None else narrowed
        (rows, _looked_at), is_selective = self._searched(rows), self._is_selective(others)
        return filter_counts.of_newest(rows, names, self._scope(), is_selective=is_selective)

    @staticmethod
    def _is_chosen(item: Any) -> bool:
        return isinstance(item, BoundedFilter) and (item.is_unknown or item.chosen() is not None)

    def _searched(self, rows: QuerySet[Any]) -> tuple[QuerySet[Any], int | None]:
        """Return those of the jobs that the search finds, and how many of the newest it looked at; None for all."""
        meaning = self.understood.meaning
        if meaning is None:
            return rows.none() if self.understood.problem else rows, None
        if meaning.search.looks_back is None:
            return meaning.search.narrow(rows), None  # bounded afterwards, unless a filter makes that needless
        rows, is_bounded = meaning.search.among_newest(rows, self._scope())
        return rows, meaning.search.looks_back if is_bounded else None

    def _scope(self) -> Collection[Any] | None:
        """Return the organizations of whose newest jobs is told: the chosen one, or all that the user may see."""
        for item in self.filter_specs:
            if isinstance(item, OrganizationFilter) and item.chosen() is not None:
                return [item.chosen()]
        return organizations_of(self.request)

    def _is_selective(self, filters: Collection[Any]) -> bool:
        """Return whether an index finds the newest jobs that the search and these filters leave."""
        meaning = self.understood.meaning
        return any(item.is_selective() for item in filters if isinstance(item, BoundedFilter)) or bool(
            meaning and meaning.search.is_selective
        )

    def _needs_bound(self, filters: Collection[Any]) -> bool:
        meaning = self.understood.meaning
        asked = any(item.needs_bound() for item in filters if isinstance(item, BoundedFilter))
        return (asked or bool(meaning and meaning.search.needs_bound)) and not self._is_selective(filters)


def _name_of(item: Any) -> str:
    """Return the parameter of a filter of ours; empty for a host's that has several."""
    return getattr(item, "parameter_name", None) or ""


def mark_batches(jobs: Collection[Any]) -> None:
    """Note on each of these jobs the batch that it counts for, by one statement; None where it has none."""
    pks = {job.batch_id for job in jobs if job.batch_id is not None}
    found = Batch.primary.only("created_at").in_bulk(pks) if pks else {}
    for job in jobs:
        job.batch_of_list = found.get(job.batch_id)


def search(rows: QuerySet[Any], text: str, seen: Seen) -> QuerySet[Any]:
    """Return those of the jobs that a typed text means; all for none, and none for a text that means nothing."""
    found = understand(text, seen)
    if found.meaning is None:
        return rows.none() if found.problem else rows
    return found.meaning.search.among_newest(rows, seen.organizations)[0]
