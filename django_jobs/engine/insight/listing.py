"""Reads a page of jobs, newest first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeVar

from django.db.models import QuerySet

from django_jobs.engine.insight.job_filter import JobFilter
from django_jobs.engine.insight.status import describe_all
from django_jobs.engine.json_storage import is_storable_text
from django_jobs.engine.lookup import find_organization_pk
from django_jobs.models import Job, JobType
from django_jobs.statuses import Status
from django_jobs.texts import say
from django_jobs.values import JobStatus

MAX_LIMIT: Final = 1_000
#: The most jobs of a page with results, each of which may have ``MAX_RESULT_BYTES``.
MAX_RESULTS: Final = 20
#: The largest offset. Filters find what lies further back.
MAX_OFFSET: Final = 10_000


Jobs = TypeVar("Jobs", bound=QuerySet[Job])


def for_list(queryset: Jobs, *, results: bool = False) -> Jobs:
    """Return the same jobs without the columns that may be large, since a page reads many rows."""
    queryset = queryset.defer("input_parameters", "metadata")
    return queryset if results else queryset.defer("result")


def list_jobs(
    organization: Any = None,
    status: str | Iterable[str] | None = None,
    job_type: str | JobType | Iterable[str | JobType] | None = None,
    limit: int = 20,
    offset: int = 0,
    *,
    user: Any = None,
    results: bool = False,
) -> list[JobStatus]:
    """Return a page of the jobs that match, newest first; with a ``user``, of those that the user may see.

    ``organization`` is an id or an instance; ``status`` and ``job_type`` are one or several. ``result`` is None unless
    ``results`` asks for it, errors are cut after 500 characters, and at most 100 parents are named;
    ``get_job_status`` returns all. Raises ValueError for an unknown status, for a ``limit`` outside 1 to 1,000 (with
    ``results`` to 20) or an ``offset`` outside 0 to 10,000; JobNotFound for an organization that does not exist, or of
    which the user may see nothing.
    """
    _check_range("limit", limit, 1, MAX_RESULTS if results else MAX_LIMIT)
    _check_range("offset", offset, 0, MAX_OFFSET)
    statuses = None if status is None else _statuses(status)
    filters = JobFilter(
        organizations=None if organization is None else (find_organization_pk(organization, user),),
        statuses=statuses,
        job_types=None if job_type is None else _type_names(job_type),
    )
    page = for_list(filters.rows(user), results=results).order_by("-pk")[offset : offset + limit]
    return describe_all(list(page), user=user, listed=True)


def _check_range(name: str, value: object, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        text = "%(name)s must be a number from %(least)d to %(most)d, not %(value)r."
        raise ValueError(say(text, code="out_of_range", name=name, least=least, most=most, value=value))


def _statuses(wanted: str | Iterable[str]) -> tuple[str, ...]:
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    for name in names:
        if name not in Status.values:
            text = f"%(value)r is not a status; use {', '.join(Status.values)}."
            raise ValueError(say(text, code="not_a_status", value=name))
    return tuple(str(Status(name)) for name in names)


def _type_names(wanted: str | JobType | Iterable[str | JobType]) -> tuple[str, ...]:
    """Return the types' names, without those that no row can have: PostgreSQL fails at them."""
    items = [wanted] if isinstance(wanted, str | JobType) else wanted
    names = [item.pk if isinstance(item, JobType) else item for item in items]
    return tuple(name for name in names if is_storable_text(str(name)))
