"""How many jobs each choice of a filter leaves, counted up to a bound.

Without a filter the choices of the status are counted one by one, each by its index. Else the newest jobs that the
other filters leave are read once and put into groups.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Count, QuerySet

from django_jobs.admin.job_filters import SEVERAL
from django_jobs.admin.numbers import format_number
from django_jobs.engine.insight.search import among_newest
from django_jobs.engine.store.counting import capped_counts
from django_jobs.engine.store.database import store
from django_jobs.models import Job
from django_jobs.statuses import IN_FLIGHT, Priority, Status

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
