"""Reading: a page of jobs, newest first."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any, Final, TypeVar

from django.db.models import QuerySet

from django_jobs.engine import database
from django_jobs.engine.lookup import visible_organizations
from django_jobs.engine.status import JobStatus, describe_all
from django_jobs.models import Job, JobType
from django_jobs.statuses import Status

MAX_LIMIT: Final = 1_000
#: Results that one page may hold: each may have ``MAX_RESULT_BYTES``.
MAX_RESULTS: Final = 20
#: What is farther away is found by a filter, not by counting rows.
MAX_OFFSET: Final = 10_000
#: Counting ends here.
MAX_COUNT: Final = 10_000


def capped_count(queryset: QuerySet[Any]) -> tuple[int, bool]:
    """How many rows there are, counted up to ``MAX_COUNT``, and whether there are more than that."""
    count = queryset.order_by()[: MAX_COUNT + 1].count()
    return min(count, MAX_COUNT), count > MAX_COUNT


#: Within so many ids a moment is not looked for more closely.
_NEAR: Final = 5_000
_LOOKUPS: Final = 12
_HALVING: Final = 4
#: How far ids and times of submission may be out of step: as long as one call that submits many jobs takes.
_SLACK: Final = dt.timedelta(minutes=2)


Jobs = TypeVar("Jobs", bound=QuerySet[Job])


def for_list(queryset: Jobs, *, results: bool = False) -> Jobs:
    """The same jobs, read without the columns that may be large: a page shall not cost what so many of them do."""
    queryset = queryset.defer("input_parameters", "metadata")
    return queryset if results else queryset.defer("result")


def created_between(queryset: Jobs, after: dt.datetime | None = None, before: dt.datetime | None = None) -> Jobs:
    """The jobs that were submitted at ``after`` or later, and before ``before``.

    No index on ``created_at`` is needed: ids are given out in the order of submission, so that the range of ids is
    found first, by a dozen look-ups for each end at most.
    """
    if after is not None:
        queryset = queryset.filter(pk__gt=_around(_shifted(after, -_SLACK))[0], created_at__gte=after)
    if before is not None:
        last = _around(_shifted(before, _SLACK))[1]
        queryset = queryset.filter(created_at__lt=before)
        queryset = queryset if last is None else queryset.filter(pk__lte=last)
    return queryset


def _shifted(moment: dt.datetime, by: dt.timedelta) -> dt.datetime:
    """The moment so much later; at an end of time, where nothing was submitted, the moment itself."""
    try:
        return moment + by
    except OverflowError:
        return moment


def _around(moment: dt.datetime) -> tuple[int, int | None]:
    """Two primary keys: what was submitted before the moment lies up to the second (None: everywhere), and what was
    submitted since lies behind the first.
    """
    rows = Job.objects.using(database.alias()).order_by("pk").values_list("pk", "created_at")
    first, last = rows.first(), rows.last()
    if first is None or last is None or moment <= first[1]:
        return 0, None if first is None else first[0]
    if moment > last[1]:
        return last[0], None
    low, high = first, last
    lean = 0
    for lookup in range(_LOOKUPS):
        gap = high[0] - low[0]
        if gap <= _NEAR:
            break
        # By proportion, a little to the side of the end that is farther away; now and then by halves, for the sake of
        # times of uneven density.
        share = (moment - low[1]) / (high[1] - low[1])
        guess = gap // 2 if lookup % _HALVING == _HALVING - 1 else int(gap * share) + lean
        middle = low[0] + max(1, min(guess, gap - 1))
        found = rows.filter(pk__gte=middle).first()
        if found is None or found[1] >= moment:
            high, lean = (middle, high[1] if found is None else found[1]), -_NEAR // 2
        else:
            low, lean = found, _NEAR // 2
    return low[0], high[0]


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
    """A page of the jobs that match, newest first; with a ``user``, of those that the user may see.

    ``organization`` is an id or an instance; ``status`` and ``job_type`` one or several. ``result`` is None in each
    status unless ``results`` asks for it, errors are cut after 500 characters and the names of parents after 100:
    ``get_job_status`` has all. Raises ValueError for an unknown status, for a ``limit`` outside 1 to 1,000 (with
    ``results`` to 20) or an ``offset`` outside 0 to 10,000; JobNotFound for an organization that does not exist, or of
    which the user may see nothing.
    """
    _check_range("limit", limit, 1, MAX_RESULTS if results else MAX_LIMIT)
    _check_range("offset", offset, 0, MAX_OFFSET)
    statuses = None if status is None else _statuses(status)
    rows = Job.objects.using(database.alias())
    organizations = visible_organizations(organization, user)
    if organizations is not None:
        rows = rows.filter(organization_id__in=organizations)
    if statuses is not None:
        rows = rows.filter(status__in=statuses)
    if job_type is not None:
        rows = rows.filter(job_type__in=_type_names(job_type))
    page = for_list(rows, results=results).order_by("-pk")[offset : offset + limit]
    return describe_all(list(page), user=user, listed=True)


def _check_range(name: str, value: object, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{name} must be a number from {least} to {most}, not {value!r}.")


def _statuses(wanted: str | Iterable[str]) -> list[str]:
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    for name in names:
        if name not in Status.values:
            raise ValueError(f"{name!r} is not a status; use {', '.join(Status.values)}.")
    return [str(Status(name)) for name in names]


def _type_names(wanted: str | JobType | Iterable[str | JobType]) -> list[str]:
    items = [wanted] if isinstance(wanted, str | JobType) else wanted
    return [item.pk if isinstance(item, JobType) else item for item in items]
