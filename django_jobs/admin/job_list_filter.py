"""The filter that a page of the jobs list stands for: what it is narrowed by, and what was searched for."""

from __future__ import annotations

from django_jobs.admin.bounded_filters import NOTHING, ListedJobsFilter
from django_jobs.admin.job_list import JobList
from django_jobs.admin.lookups import is_unknown
from django_jobs.engine.insight.filter import JobFilter


def filter_of(jobs: JobList) -> JobFilter:
    """Return the filter that names all jobs of the list, on whatever page they stand.

    A list that nothing narrows gives an empty filter, and one that asks for what is not there names no job. Raises
    TypeError for a filter of the list that is none of jobs: to leave it out would name more jobs than the list shows.
    """
    if any(map(is_unknown, jobs.filter_specs)):
        return NOTHING
    named = JobFilter()
    for item in jobs.filter_specs:
        asked = item.chosen()  # type: ignore[attr-defined]
        if asked is None:
            continue
        if not isinstance(item, ListedJobsFilter):
            raise TypeError(f"No filter of jobs is known for {type(item).__name__}.")
        named = named.both(item.job_filter(asked))
    if jobs.understood.meaning is not None:
        return named.both(jobs.understood.meaning.search)
    return NOTHING if jobs.understood.problem else named
