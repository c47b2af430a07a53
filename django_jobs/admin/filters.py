"""What narrows a list: filters of bounded cost, and those that an address may name."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import DataError
from django.db.models import Count, QuerySet
from django.http import HttpRequest, QueryDict
from django.utils.html import format_html
from django.utils.translation import gettext, gettext_lazy

from django_jobs import pools
from django_jobs.admin.pages import FAILED_ALL, RETRYING, keys_of, seen_by
from django_jobs.admin.writing import format_number
from django_jobs.conf import jobs_settings
from django_jobs.engine.insight.filter import LIST_TERMS, SEARCH, JobFilter, as_object, words_of
from django_jobs.engine.insight.search import among_newest
from django_jobs.engine.schedules.definitions import visible_schedules
from django_jobs.engine.store import database
from django_jobs.engine.store.counting import capped_counts
from django_jobs.engine.store.database import store
from django_jobs.exceptions import InvalidFilter
from django_jobs.models import Job, get_organization_model
from django_jobs.statuses import AWAITING_RETRY, IN_FLIGHT, WITH_ERRORS, Priority, Status

# What the filters of lists have in common: they take only what they offer, and tell whether a list needs a bound.


#: What an address means that names something that there is not.
NO_JOBS: Final = JobFilter(job_id=())
#: Characters of an asked value that are shown.
MAX_SHOWN: Final = 100


class BoundedFilter(admin.SimpleListFilter):
    """A filter that takes only what it offers. Where no index serves it, the list looks at the newest jobs alone.

    The list shows nothing where the address asks for what is not offered (``is_unknown``), such as a type that was
    deleted: whoever acts on all that match must not reach more than was asked for.
    """

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


# The filters of the jobs list.


#: At most so many choices are offered. The list's search finds any organization.
MAX_LISTED: Final = 50
MAX_TYPES: Final = 200
SEVERAL: Final[Mapping[str, frozenset[Status]]] = {FAILED_ALL: WITH_ERRORS, RETRYING: AWAITING_RETRY}


class StatusFilter(CountedFilter):
    """Narrows the list to one status, to all that failed, or to those of them that will be retried by themselves."""

    title: Any = gettext_lazy("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        single = [(status.value, str(status.label)) for status in Status]
        return [
            *single,
            (FAILED_ALL, gettext("Failed (all)")),
            (RETRYING, gettext("Failed or Timed Out, to be retried")),
        ]

    def is_selective(self) -> bool:
        """Return whether the status is a rare one: each but Completed has an index of its own."""
        return self.chosen() not in {None, str(Status.COMPLETED)}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        several = SEVERAL.get(self.chosen() or "")
        return super().queryset(request, queryset) if several is None else _in_several(queryset, several)

    def job_filter(self, asked: str) -> JobFilter:
        """Return the filter for this choice."""
        return JobFilter(status=tuple(sorted(SEVERAL.get(asked, {asked}))))


def _in_several(rows: QuerySet[Any], wanted: Collection[Status]) -> QuerySet[Any]:
    """Return the jobs in these rare statuses, from the newest of them on.

    Without that bound the database could walk from the newest job of all past a million others first.
    """
    statuses = sorted(wanted)
    newest = (rows.filter(status=status).order_by("-pk").values_list("pk", flat=True)[:1] for status in statuses)
    found = [pk for pks in newest for pk in pks]
    return rows.filter(status__in=statuses, pk__lte=max(found)) if found else rows.none()


class TypeFilter(CountedFilter):
    """Narrows the list to one job type."""

    title: Any = gettext_lazy("type")
    parameter_name = "type"

    #: The look-up that leads from a row of the list to the name of its type.
    path = "job_type_id"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        rows = seen_by(request).types.order_by("pk").values_list("pk", flat=True)
        names = list(rows[: MAX_TYPES + 1])
        if len(names) > MAX_TYPES:
            self.title = gettext("type (the first %(count)s)") % {"count": MAX_TYPES}
        names = names[:MAX_TYPES]
        if (asked := self.value()) not in {None, *names}:
            names += rows.filter(pk=asked)[:1]
        return [(name, name) for name in names]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.chosen()
        return queryset if chosen is None else queryset.filter(**{self.path: chosen})

    def job_filter(self, asked: str) -> JobFilter:
        """Return the filter for this type."""
        return JobFilter(job_type=(asked,))


class OrganizationFilter(CountedFilter):
    """Narrows the list to one organization."""

    title: Any = gettext_lazy("organization")
    parameter_name = "organization"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        field = jobs_settings.ORGANIZATION_ID_FIELD
        names = seen_by(request).tenants.order_by(field).values_list("pk", field)
        found = list(names[: MAX_LISTED + 1])
        if len(found) > MAX_LISTED:
            self.title = gettext("organization (the first %(count)s; search finds any)") % {"count": MAX_LISTED}
        found = found[:MAX_LISTED]
        if self.value() not in {None, *(str(pk) for pk, _ in found)}:
            found += self._one(names)
        return [(str(pk), str(name)) for pk, name in found]

    def _one(self, names: QuerySet[Any, Any]) -> list[Any]:
        """Return the organization that the address asks for, if there is one that the user may see."""
        try:
            return list(names.filter(pk=self.value())[:1])
        except (TypeError, ValueError, ValidationError, OverflowError, DataError):  # no value that a key could have
            return []

    def job_filter(self, asked: str) -> JobFilter:
        """Return the filter for this organization."""
        return JobFilter(organization=(get_organization_model()._meta.pk.to_python(asked),))


class PriorityFilter(CountedFilter):
    """Narrows the list to one priority."""

    title: Any = gettext_lazy("priority")
    parameter_name = "priority"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(priority.value), str(priority.label)) for priority in sorted(Priority, reverse=True)]

    def job_filter(self, asked: str) -> JobFilter:
        """Return the filter for this priority."""
        return JobFilter(priority=(int(asked),))


class CreatedFilter(ListedJobsFilter):
    """Narrows the list to the jobs that were submitted lately."""

    title: Any = gettext_lazy("created")
    parameter_name = "created"

    hours: Final = {"1h": 1, "24h": 24, "7d": 168, "30d": 720}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("1h", gettext("In the last hour")),
            ("24h", gettext("In the last 24 hours")),
            ("7d", gettext("In the last 7 days")),
            ("30d", gettext("In the last 30 days")),
        ]

    def job_filter(self, asked: str) -> JobFilter:
        """Return the filter for the time since then."""
        return JobFilter(created_after=database.now() - dt.timedelta(hours=self.hours[asked]))


class ErrorFilter(ListedJobsFilter):
    """Narrows the list to the jobs that have an error, or have none."""

    title: Any = gettext_lazy("has error")
    parameter_name = "error"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", gettext("Yes")), ("no", gettext("No"))]

    def job_filter(self, asked: str) -> JobFilter:
        """Return the filter for jobs with an error, or without one."""
        return JobFilter(has_error=asked == "yes")


SIDEBAR_FILTERS: Final = (StatusFilter, TypeFilter, OrganizationFilter, PriorityFilter, CreatedFilter, ErrorFilter)


# What an address may ask for beside the sidebar: each term of a filter of jobs, under the names of REST.


#: The filters of the sidebar have these names, and the search its own box.
ELSEWHERE: Final = frozenset({"status", "organization", "priority", "error", "pool", SEARCH})
ADDRESSED: Final = {name: term for name, term in LIST_TERMS.items() if name not in ELSEWHERE}


class AddressFilter(admin.ListFilter):
    """Narrows the list to the jobs that the address names, and shows what it asks for. A click takes that back."""

    title = gettext_lazy("further filters")
    #: How many of the newest jobs were looked at; None if no older ones were left out.
    looks_back: int | None = None

    def __init__(self, request: HttpRequest, params: dict[str, list[str]], model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        values = {name: params.pop(name) for name in ADDRESSED if name in params}
        self.given = as_object(values)
        self.request, self.is_unknown, self.filters = request, False, JobFilter()
        try:
            self.filters = JobFilter.read(self.given, request.user)
        except InvalidFilter:
            self.is_unknown = True

    def has_output(self) -> bool:
        return bool(self.given)

    def expected_parameters(self) -> list[str | None]:
        return list(ADDRESSED)

    def chosen(self) -> JobFilter | None:
        """Return the filter that the address asks for; None if it asks for none, or for none that there can be."""
        return None if self.filters.is_empty else self.filters

    def job_filter(self, asked: JobFilter) -> JobFilter:
        """Return the filter that names these jobs."""
        return asked

    def needs_bound(self) -> bool:
        """Return whether finding a page of these jobs could mean to read all jobs."""
        return self.filters.needs_bound

    def is_selective(self) -> bool:
        """Return whether what is asked for leaves so few jobs that no bound is needed."""
        return self.filters.is_selective

    def looked_at(self) -> int | None:
        """Return how many of the newest jobs are read one by one; None where an index finds them."""
        status = self.request.GET.get("status", "")
        in_status = JobFilter(status=(status,)) if status in IN_FLIGHT else JobFilter()
        return self.filters.both(in_status).looks_back

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.none() if self.filters.asks_for_hidden(request.user) else self.filters.narrow(queryset)

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Yield what the address asks for, each with the address without it."""
        for name, text in words_of(self.given):
            shown = f"{ADDRESSED[name].label}: {text}"
            yield {"selected": True, "query_string": changelist.get_query_string({name: None}), "display": shown}


class PoolFilter(ListedJobsFilter):
    """Narrows the list to the jobs of one pool's types. It is there where pools are configured."""

    title = gettext_lazy("pool")
    parameter_name = "pool"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        names = pools.names()
        return [(name, name) for name in names] if len(names) > 1 else []

    def job_filter(self, asked: str) -> JobFilter:
        """Return the filter for this pool."""
        return JobFilter(pool=asked)


def new_address(query: QueryDict, user: Any) -> str:
    """Return the query of an address whose filters have names of before; empty where it has none of these."""
    changed = query.copy()
    if (fingerprint := query.get("fingerprint")) is not None:
        del changed["fingerprint"]
        changed["fingerprint_start" if fingerprint else "error_fingerprint"] = fingerprint
        changed.setdefault("status", FAILED_ALL)
    pks = keys_of([query.get("schedule", "")]) if "type" not in query else []
    if schedule := visible_schedules(user).filter(pk__in=pks).first() if pks else None:
        changed["schedule"], changed["type"] = schedule.name, schedule.job_type_id
        if schedule.organization_id is not None:
            changed["organization"] = str(schedule.organization_id)
    return changed.urlencode() if changed != query else ""


#: All filters of the list of jobs.
JOB_FILTERS: Final = (AddressFilter, PoolFilter, *SIDEBAR_FILTERS)


# How many jobs each choice of a filter leaves, counted up to a bound.
#
# Without a filter the choices of the status are counted one by one, each by its index. Else the newest jobs that the
# other filters leave are read once and put into groups.


#: Jobs of one status are counted up to so many.
MOST: Final = 1_000
#: So many of the newest jobs are put into groups.
NEWEST: Final = 5_000
#: The columns whose values are counted, by the parameter of the filter.
COLUMNS: Final[Mapping[str, str]] = {
    "status": "status",
    "type": "job_type_id",
    "organization": "organization_id",
    "priority": "priority",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many jobs have each value of a column. With ``is_cut``, there may be more of each."""

    totals: Mapping[str, int]
    is_cut: bool

    def for_people(self) -> dict[str, str]:
        """Return the counts as texts; of what was not found before a bound nothing is said."""
        return {
            value: format_number(min(total, MOST)) + ("+" if self.is_cut or total > MOST else "")
            for value, total in self.totals.items()
            if total or not self.is_cut
        }


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
    return Counts(totals=_with_several(zip(map(str, Status), capped_counts(each, MOST), strict=True)), is_cut=False)


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
    return {name: Counts(totals=_complete(name, found), is_cut=is_cut) for name, found in totals.items()}


def _complete(name: str, found: Mapping[str, int]) -> dict[str, int]:
    """Return the counts of each status and priority, also of those without a job; of types and tenants as they are."""
    if name == "priority":
        return {str(priority.value): found.get(str(priority.value), 0) for priority in Priority}
    if name != "status":
        return dict(found)
    return _with_several((str(status), found.get(status, 0)) for status in Status)


def _with_several(totals: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Return the counts of single statuses, and those of the choices that stand for several."""
    found = dict(totals)
    return found | {choice: sum(found[status] for status in statuses) for choice, statuses in SEVERAL.items()}
