"""The filter that a page of the jobs list stands for: what it is narrowed by, and what was searched for."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, Final

from django_jobs.admin.addressed_filters import (
    NOTHING,
    AddressedFilter,
    PoolFilter,
)
from django_jobs.admin.job_batch import BatchFilter
from django_jobs.admin.job_filters import (
    SEVERAL,
    CreatedFilter,
    ErrorFilter,
    OrganizationFilter,
    PriorityFilter,
    StatusFilter,
    TypeFilter,
)
from django_jobs.admin.job_list import JobList
from django_jobs.admin.lookups import is_unknown
from django_jobs.engine.insight.filter import JobFilter
from django_jobs.engine.store import database
from django_jobs.models import get_organization_model
from django_jobs.models.batch import parse_batch_id


def filter_of(jobs: JobList) -> JobFilter:
    """Return the filter that names all jobs of the list, on whatever page they stand.

    A list that nothing narrows gives an empty filter, and one that asks for what is not there names no job. Raises
    TypeError for a filter of the list that is not known here: to leave it out would name more jobs than the list shows.
    """
    if any(map(is_unknown, jobs.filter_specs)):
        return NOTHING
    found = JobFilter()
    for item in jobs.filter_specs:
        asked = item.chosen()  # type: ignore[attr-defined]
        if asked is not None:
            found = found.both(_filter_of(item, asked))
    if jobs.understood.meaning is not None:
        return found.both(jobs.understood.meaning.search)
    return NOTHING if jobs.understood.problem else found


def _filter_of(item: Any, asked: str) -> JobFilter:
    for kind, read in READERS.items():
        if isinstance(item, kind):
            return read(item, asked)
    raise TypeError(f"No filter of jobs is known for {type(item).__name__}.")


def _status(_item: Any, asked: str) -> JobFilter:
    return JobFilter(status=tuple(sorted(SEVERAL[asked])) if asked in SEVERAL else (asked,))


def _created(item: CreatedFilter, asked: str) -> JobFilter:
    return JobFilter(created_after=database.now() - dt.timedelta(hours=item.hours[asked]))


def _batch(_item: Any, asked: str) -> JobFilter:
    parsed = parse_batch_id(asked)
    return NOTHING if parsed is None else JobFilter(batch=parsed)


def _organization(_item: Any, asked: str) -> JobFilter:
    return JobFilter(organization_pk=(get_organization_model()._meta.pk.to_python(asked),))


#: The first kind that fits a filter of the list reads it.
READERS: Final[dict[type[Any], Callable[[Any, str], JobFilter]]] = {
    BatchFilter: _batch,
    StatusFilter: _status,
    TypeFilter: lambda _item, asked: JobFilter(job_type=(asked,)),
    OrganizationFilter: _organization,
    PriorityFilter: lambda _item, asked: JobFilter(priority=(int(asked),)),
    CreatedFilter: _created,
    ErrorFilter: lambda _item, asked: JobFilter(has_error=asked == "yes"),
    PoolFilter: lambda _item, asked: JobFilter(pool=asked),
    AddressedFilter: lambda item, asked: item.job_filter(asked),
}
