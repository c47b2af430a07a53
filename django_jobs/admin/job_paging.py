"""Pages of the jobs list: how they are counted and read at the cost of what they show, and not of the history."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final

from django.core.paginator import Page
from django.db.models import QuerySet
from django.db.models.functions import Left
from django.utils.functional import cached_property

from django_jobs.admin.base import CappedPaginator
from django_jobs.admin.job_filters import (
    CreatedFilter,
    ErrorFilter,
    OrganizationFilter,
    PriorityFilter,
    StatusFilter,
    TypeFilter,
)
from django_jobs.admin.lookups import RETRYING
from django_jobs.engine.insight.filter import JobFilter
from django_jobs.engine.store import counting
from django_jobs.engine.store.counting import capped_counts, newest_keys
from django_jobs.engine.store.database import store
from django_jobs.models import Job
from django_jobs.statuses import IN_FLIGHT, RARE, WITH_ERRORS

if TYPE_CHECKING:
    JobPage = Page[Any]
else:
    JobPage = Page

#: The list needs none of these columns, and reading them for a page of jobs would be slow.
LARGE: Final = ("input_parameters", "metadata", "result", "output_reference", "error_message")
#: Characters of an error that the list reads.
ERROR: Final = 120
#: Up to so many jobs are named one by one in a statement that has them all.
FEW: Final = 500
#: The filters with which an index has the newest jobs first, together with any other of these.
_IN_ORDER: Final = (StatusFilter, TypeFilter, OrganizationFilter, PriorityFilter, CreatedFilter, ErrorFilter)


class JobPaginator(CappedPaginator):
    """Pages of jobs, whose rows are read by their primary keys.

    The queryset says how: with ``keys``, these are all of its jobs; where it ``is_in_order``, an index has them, and is
    walked for count and page. Else the database looks for them as it likes.
    """

    @cached_property
    def _counted(self) -> tuple[int, bool]:
        rows: Any = self.object_list
        keys = getattr(rows, "keys", None)
        if keys is None and not getattr(rows, "is_in_order", False):
            return super()._counted
        count = len(keys) if keys is not None else capped_counts([rows], counting.MAX_COUNT)[0]
        return min(count, counting.MAX_COUNT), count > counting.MAX_COUNT

    def page(self, number: int | str) -> JobPage:
        """Return a page. Of the jobs on the pages before, no more than the primary keys are read."""
        found = super().page(number)
        rows: Any = self.object_list
        sliced: Any = found.object_list
        if (keys := getattr(rows, "keys", None)) is not None:
            found.object_list = light(named(keys[found.start_index() - 1 : found.end_index()]))
        elif getattr(rows, "is_in_order", False):
            found.object_list = light(named([pk for (pk,) in store().read_in_order(sliced.values_list("pk"))]))
        return found


def light(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Return the same jobs with what a list shows of them, and nothing that may be large."""
    found: QuerySet[Any] = rows.defer(*LARGE).annotate(error_start=Left("error_message", ERROR + 1))
    return found


def named(keys: Collection[int]) -> QuerySet[Any]:
    """Return the jobs with these primary keys, the newest first."""
    return Job.primary.filter(pk__in=keys).order_by("-pk")


def is_in_order(filters: Collection[Any], search: JobFilter | None, organizations: Collection[Any] | None) -> bool:
    """Return whether an index has the newest jobs first that these filters and the search leave.

    ``organizations`` are those whose jobs are listed; None: all. Of several no index has the newest first.
    """
    if organizations is not None and len(organizations) > 1:
        return False
    asked = [(item, item.chosen()) for item in filters if hasattr(item, "chosen")]
    if any(choice is not None and (choice == RETRYING or not isinstance(item, _IN_ORDER)) for item, choice in asked):
        return False
    return not has_error_chosen(filters) and (search is None or search.asked().keys() <= {"organization_pk", "owner"})


def is_looked_for(filters: Collection[Any], search: JobFilter | None) -> bool:
    """Return whether jobs must be read one by one to see which of them match."""
    if has_error_chosen(filters) or any(getattr(item, "looks_back", None) for item in filters):
        return True
    return search is not None and bool(search.looks_back or search.fingerprint_start or search.error)


def has_error_chosen(filters: Collection[Any]) -> bool:
    """Return whether the jobs with an error are asked for."""
    return any(isinstance(item, ErrorFilter) and item.chosen() == "yes" for item in filters)


def look_for(rows: QuerySet[Any], search: JobFilter | None, *, has_error: bool) -> list[int]:
    """Return the primary keys of the jobs, the newest first, up to one more than are counted.

    ``has_error`` says that all have an error. Completed jobs have none. Those that failed, and the others that did not
    complete, are looked for status by status, because each has an index of its own.
    """
    most = counting.MAX_COUNT + 1
    if search is not None and (search.fingerprint_start or search.error):
        return newest_keys([rows.filter(status=status).order_by("-pk") for status in sorted(WITH_ERRORS)], most)
    if not has_error:
        return list(rows.order_by("-pk").values_list("pk", flat=True)[:most])
    # Those that are tried again and kept the error until now: mostly none.
    in_flight = Job.primary.filter(status__in=sorted(IN_FLIGHT)).exclude(error_message="")
    kept = in_flight.order_by("queued_at").values_list("pk")[:most]
    parts = [rows.filter(status=status).order_by("-pk") for status in sorted(RARE)]
    return newest_keys([*parts, rows.filter(pk__in=[pk for (pk,) in store().read_in_order(kept)])], most)
