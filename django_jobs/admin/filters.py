"""What narrows a list: terms of a filter of jobs, in the sidebar or the address, and filters of other lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext, gettext_lazy

from django_jobs import pools
from django_jobs.admin.writing import format_number
from django_jobs.conf import jobs_settings
from django_jobs.engine.insight.filter import LIST_TERMS, SEARCH, JobFilter, as_object, words_of
from django_jobs.engine.insight.search import among_newest
from django_jobs.engine.scope import scope_of
from django_jobs.engine.store.counting import capped_counts
from django_jobs.engine.store.database import store
from django_jobs.exceptions import InvalidFilter
from django_jobs.models import Job
from django_jobs.statuses import AWAITING_RETRY, IN_FLIGHT, WITH_ERRORS, Priority, Status

# A list takes the terms of a filter of jobs under the names of REST. The sidebar offers values of some of them; what an
# address asks for beside these stands above them, and a click takes it back.


#: What an address means that names something that there is not.
NO_JOBS: Final = JobFilter(job_id=())


class TermsFilter(admin.ListFilter):
    """Reads terms of a filter of jobs from the address. ``filters`` names no job where a value cannot be read.

    An organization that is gone is such a value: whoever acts on all that match must not reach more than was meant.
    """

    title: Any = gettext_lazy("further filters")
    names: Collection[str] = ()

    def __init__(self, request: HttpRequest, params: dict[str, list[str]], model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        self.given = as_object({name: params.pop(name) for name in self.names if name in params})
        self.is_unknown, self.filters = False, NO_JOBS
        try:
            self.filters = JobFilter.read(self.given, request.user)
        except InvalidFilter:
            self.is_unknown = True

    def has_output(self) -> bool:
        return bool(self.given)

    def expected_parameters(self) -> list[str | None]:
        return list(self.names)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        """Leave the rows as they are: the list of jobs narrows them by all its filters and its search at once."""
        return None

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Yield what the address asks for, each with the address without it."""
        for name, text in words_of(self.given):
            shown = f"{LIST_TERMS[name].label}: {text}"
            yield {"selected": True, "query_string": changelist.get_query_string({name: None}), "display": shown}


class Choice(NamedTuple):
    """Values of a term that are offered together. Jobs are counted by ``keys`` in place of them, where these differ."""

    values: tuple[str, ...]
    label: Any
    keys: tuple[str, ...] = ()


class OfferedTerm(TermsFilter):
    """A filter of the sidebar: choices of one term, each with how many jobs it leaves where the list has counted them.

    Another value that the address asks for stands below them.
    """

    parameter_name = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lookup_choices = self.offers()

    def offers(self) -> list[Choice]:
        """Return the choices."""
        raise NotImplementedError

    def has_output(self) -> bool:
        return bool(self.lookup_choices) or super().has_output()

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Yield that nothing is asked for, the choices, and what the address asks for beside them."""
        name, asked, is_offered = self.parameter_name, self._meaning(self.given), False
        counts: Counts | None = getattr(changelist, "counts", {}).get(name)
        remove = changelist.get_query_string({name: None})
        yield {"selected": not self.given, "query_string": remove, "display": gettext("All")}
        for choice in self.lookup_choices:
            is_asked = asked is not None and asked == self._meaning(as_object({name: choice.values}))
            is_offered |= is_asked
            # What is chosen is what the list shows, and that was counted anyhow.
            count = "" if counts is None else changelist.amount if is_asked else counts.of(choice)
            shown = (
                format_html('{} <span class="djobs-count">{}</span>', choice.label, count) if count else choice.label
            )
            address = changelist.get_query_string({name: list(choice.values)})
            yield {"selected": is_asked, "query_string": address, "display": shown}
        if self.given and not is_offered:
            ((_name, text),) = words_of(self.given)
            shown = gettext("%(value)s: there is no such choice") % {"value": text} if self.is_unknown else text
            yield {"selected": True, "query_string": remove, "display": shown}

    def _meaning(self, given: Mapping[str, Any]) -> Any:
        """Return the value that is given, to be compared with another; None for nothing, and for what is none."""
        kind = LIST_TERMS[self.parameter_name].kind
        try:
            value = kind.read_given(given.get(self.parameter_name))
        except ValueError:
            return None
        return frozenset(value) if kind.is_repeated and value is not None else value


class NarrowingTerm(OfferedTerm):
    """The same for a list of rows that have this term as jobs have it, such as batches."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.none() if self.is_unknown else self.filters.narrow(queryset)


def offering(
    name: str, offers: Callable[[Any], list[Choice]], base: type[OfferedTerm] = OfferedTerm, title: Any = None
) -> type[OfferedTerm]:
    """Return the filter of the sidebar for the term of this name, which ``offers`` these choices."""
    values = {"parameter_name": name, "names": (name,), "title": title or LIST_TERMS[name].label, "offers": offers}
    return type(base.__name__, (base,), values)


# What the sidebar offers of each term.


#: At most so many choices are offered. The list's search finds any organization.
MAX_LISTED: Final = 50
MAX_TYPES: Final = 200


def statuses(_item: OfferedTerm) -> list[Choice]:
    """Return each status, all that failed, and those of them that will be retried by themselves."""
    several = (
        (WITH_ERRORS, gettext("Failed (all)")),
        (AWAITING_RETRY, gettext("To be retried")),
    )
    return [
        *(Choice((status.value,), status.label) for status in Status),
        *(Choice(tuple(sorted(group)), label) for group, label in several),
    ]


def types_seen(item: OfferedTerm) -> list[Choice]:
    """Return the types that the user knows of."""
    names = list(scope_of(item.request).types.order_by("pk").values_list("pk", flat=True)[: MAX_TYPES + 1])
    if len(names) > MAX_TYPES:
        item.title = gettext("type (the first %(count)s)") % {"count": MAX_TYPES}
    return [Choice((name,), name) for name in names[:MAX_TYPES]]


def organizations_seen(item: OfferedTerm) -> list[Choice]:
    """Return the organizations whose jobs the user sees, by their ids."""
    field = str(jobs_settings.ORGANIZATION_ID_FIELD)
    found = list(scope_of(item.request).tenants.order_by(field).values_list("pk", field)[: MAX_LISTED + 1])
    if len(found) > MAX_LISTED:
        item.title = gettext("organization (the first %(count)s; search finds any)") % {"count": MAX_LISTED}
    return [Choice((str(name),), str(name), (str(pk),)) for pk, name in found[:MAX_LISTED]]


def priorities(_item: OfferedTerm) -> list[Choice]:
    """Return the priorities, the highest first."""
    return [Choice((str(priority.value),), priority.label) for priority in sorted(Priority, reverse=True)]


def ages(_item: OfferedTerm) -> list[Choice]:
    """Return some times since which jobs were submitted."""
    return [
        Choice(("1h",), gettext("Last hour")),
        Choice(("24h",), gettext("Last 24 hours")),
        Choice(("7d",), gettext("Last 7 days")),
        Choice(("30d",), gettext("Last 30 days")),
    ]


def yes_or_no(_item: OfferedTerm) -> list[Choice]:
    """Return yes and no."""
    return [Choice(("yes",), gettext("Yes")), Choice(("no",), gettext("No"))]


def several_pools(_item: OfferedTerm) -> list[Choice]:
    """Return the pools, where there are several."""
    names = pools.names()
    return [Choice((name,), name) for name in names] if len(names) > 1 else []


#: The filters of the sidebar of the list of jobs.
OFFERED: Final = (
    offering("pool", several_pools),
    offering("status", statuses),
    offering("job_type", types_seen),
    offering("organization", organizations_seen),
    offering("priority", priorities),
    offering("created_after", ages, title=gettext_lazy("created")),
    offering("has_error", yes_or_no, title=gettext_lazy("has error")),
)


#: What an address may name; the search has a box of its own.
TERMS_OF_ADDRESS: Final = tuple(name for name in LIST_TERMS if name != SEARCH)


class AddressFilter(TermsFilter):
    """The terms that are in no sidebar."""

    names = frozenset(TERMS_OF_ADDRESS).difference(item.parameter_name for item in OFFERED)


#: All filters of the list of jobs.
JOB_FILTERS: Final = (AddressFilter, *OFFERED)


# What the filters of other lists have in common: they take only what they offer.


#: Characters of an asked value that are shown.
MAX_SHOWN: Final = 100


class BoundedFilter(admin.SimpleListFilter):
    """A filter that takes only what it offers; the list shows nothing where the address asks for something else."""

    def __init__(self, request: HttpRequest, params: dict[str, list[str]], model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        asked = self.value() or ""
        self.is_unknown = bool(asked) and asked not in {str(value) for value, _ in self.lookup_choices}
        if self.is_unknown:
            shown = asked if len(asked) <= MAX_SHOWN else f"{asked[:MAX_SHOWN]}…"
            told = gettext("%(value)s: there is no such choice") % {"value": shown}
            self.lookup_choices = [*self.lookup_choices, (asked, told)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        asked = self.value()
        if self.is_unknown:
            return queryset.none()
        return self.narrow(queryset, asked) if asked else queryset

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(value), str(label)) for value, label in self.choices_of()]

    #: Both are given by ``choosing``.
    choices_of: Callable[[], Iterable[tuple[str, Any]]]
    narrow: Callable[[Any, str], QuerySet[Any]]


def choosing(
    name: str, title: Any, choices: Callable[[], Iterable[tuple[str, Any]]], narrow: Callable[[Any, str], Any]
) -> type[BoundedFilter]:
    """Return the filter with these choices, and what narrows rows by one of them."""
    values = {
        "parameter_name": name,
        "title": title,
        "choices_of": staticmethod(choices),
        "narrow": staticmethod(narrow),
    }
    return type("BoundedFilter", (BoundedFilter,), values)


# How many jobs each choice of a filter leaves, counted up to a bound.
#
# Without a filter the choices of the status are counted one by one, each by its index. Else the newest jobs that the
# other filters leave are read once and put into groups.


#: Jobs of one status are counted up to so many.
MOST: Final = 1_000
#: So many of the newest jobs are put into groups.
NEWEST: Final = 5_000
#: The columns whose values are counted, by the name of the term.
COLUMNS: Final[Mapping[str, str]] = {
    "status": "status",
    "job_type": "job_type_id",
    "organization": "organization_id",
    "priority": "priority",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many jobs have each value of a column. With ``is_cut``, there may be more of each."""

    totals: Mapping[str, int]
    is_cut: bool

    def of(self, choice: Choice) -> str:
        """Return how many jobs a choice leaves, for people; of what was not found before a bound nothing is said."""
        total = sum(self.totals.get(key, 0) for key in choice.keys or choice.values)
        if self.is_cut and not total:
            return ""
        return format_number(min(total, MOST)) + ("+" if self.is_cut or total > MOST else "")


def of_all_statuses() -> Counts:
    """Return the counts of each status among all jobs, by one statement."""
    rows = Job.primary.all()
    # An index of the few in flight is used for this wording alone. The others have their newest first.
    each = [
        rows.filter(status=status, status__in=sorted(IN_FLIGHT)).order_by()
        if status in IN_FLIGHT
        else rows.filter(status=status).order_by("-pk")
        for status in Status
    ]
    return Counts(totals=dict(zip(map(str, Status), capped_counts(each, MOST), strict=True)), is_cut=False)


def of_newest(
    rows: QuerySet[Any], names: Collection[str], organizations: Collection[Any] | None, *, is_selective: bool
) -> dict[str, Counts]:
    """Return the counts for the filters of these names, among the newest of the rows.

    ``is_selective`` says that an index finds the newest of the rows; else those among the newest jobs of the
    organizations are counted.
    """
    if is_selective:
        ends = store().read_behind(rows.order_by("-pk").values_list("pk")[NEWEST : NEWEST + 1], NEWEST)
        rows, is_cut = (rows.filter(pk__gt=ends[0][0]) if ends else rows), bool(ends)
    else:
        rows, is_cut = among_newest(rows, organizations, NEWEST)
    return _grouped(rows, names, is_cut=is_cut)


def of_keys(keys: Sequence[int], names: Collection[str], *, is_cut: bool) -> dict[str, Counts]:
    """Return the same among the newest of the jobs with these primary keys, the newest first.

    ``is_cut`` says that there may be more than these.
    """
    rows = Job.primary.filter(pk__in=keys[:NEWEST])
    return _grouped(rows, names, is_cut=is_cut or len(keys) > NEWEST)


def _grouped(rows: QuerySet[Any], names: Collection[str], *, is_cut: bool) -> dict[str, Counts]:
    columns = [COLUMNS[name] for name in names]
    totals: dict[str, Counter[str]] = {name: Counter() for name in names}
    for *values, count in rows.order_by().values_list(*columns).annotate(total=Count("pk")):
        for name, value in zip(names, values, strict=True):
            totals[name][str(value)] += count
    return {name: Counts(totals=found, is_cut=is_cut) for name, found in totals.items()}
